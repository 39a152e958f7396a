"""Layers that several backbones share, and those of PyTorch Geometric Temporal."""
