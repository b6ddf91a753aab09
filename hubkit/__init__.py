"""hubkit: train or load a PEFT adapter, measure it, and publish it with a card that is true."""

__version__ = "0.1.0"
