"""What is in a data set, in tables and figures: one statistic a file."""
