"""A grid of runs gets done, each run once: by Snakemake, by a cluster, or by `train-all`."""
