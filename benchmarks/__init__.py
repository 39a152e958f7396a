"""Benchmarks, run from a checkout: `python -m benchmarks.pruning [--check]`.

Each measures what it compares side by side in one run, so that its ratios hold on any machine.
"""
