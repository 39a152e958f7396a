"""From raw files to windows: cards, fetching, canonical data sets."""
