"""One run, from its specification to its record: the engine and all that it stands on."""
