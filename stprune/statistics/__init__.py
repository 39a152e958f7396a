"""Tests and measures behind each claim, from the frames ``summary`` and ``epochs`` alone."""
