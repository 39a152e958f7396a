"""What an experiment will take, before anything starts."""
