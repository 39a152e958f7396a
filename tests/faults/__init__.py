"""The fault campaign: processes killed at random moments, and what is left when they are done."""
