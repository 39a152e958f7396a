"""Simulated cities: a data set is made when it is prepared, and nothing is downloaded."""
