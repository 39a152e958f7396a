"""Files that appear whole or not at all, and text from strangers that is read with care."""
