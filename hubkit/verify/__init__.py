"""Hold what a card shows against what happens: its own Python is run as a reader would run it."""
