"""Every figure and table: found, made, and compared with what it is to be."""
