"""The record of a run, and the store of an experiment."""
