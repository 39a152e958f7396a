"""Simulated freeway traffic: roads, demand, incidents, and the run that turns them into data."""
