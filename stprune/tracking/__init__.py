"""Weights & Biases: while a run trains, and from its record. The records are the truth."""
