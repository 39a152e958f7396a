"""stprune: a reproducible benchmark of dynamic sample pruning for spatio-temporal training."""

__version__ = "0.1.0"
