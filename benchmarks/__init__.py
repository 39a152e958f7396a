"""Benchmarks: `stprune bench <name>`; one file each, found by its name."""
