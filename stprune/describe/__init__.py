"""What a data set is like, in tables and figures."""
