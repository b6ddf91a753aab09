"""`python -m hubkit`, for launchers that take a module (accelerate, torchrun)."""

from hubkit.cli.main import entry

if __name__ == "__main__":
    entry()
