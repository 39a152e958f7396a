"""A grid of runs gets done, each run once: on this machine or on a cluster."""
