"""The one schema of an experiment, and from it to its runs."""
