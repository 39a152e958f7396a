"""Weights & Biases: while a run trains, and from its record."""
