"""Figures (fig_*.py) and tables (tab_*.py) of the paper; one file each, found by its name."""
