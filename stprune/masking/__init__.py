"""What a mean error hides, and whether a score sees it."""
