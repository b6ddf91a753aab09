"""Base models, adapters and text: loaded as the card's reader would load them."""
