"""Training: the transformers Trainer, made to do the right thing for each method."""
