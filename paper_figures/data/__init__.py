"""Figures and tables of the data sets themselves: one a file, drawn from their descriptions."""
