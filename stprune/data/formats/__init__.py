"""One loader per raw format; the file stem is the format's name in a card."""
