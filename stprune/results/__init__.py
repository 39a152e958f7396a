"""Turns run records into rows and tables."""
