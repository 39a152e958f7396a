"""ST-Prune and the contract of every pruner."""
