"""A matrix of runs: planned, foretold, run here or on a cluster, and set side by side."""
