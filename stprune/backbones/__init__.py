"""Forecasting backbones; one file each, found by its name."""
