"""Rival pruners and controls; one file each, found by its name."""
