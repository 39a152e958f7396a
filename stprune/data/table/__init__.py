"""The parts of the format `table`: a user's own series and graph, read by stated rules."""
