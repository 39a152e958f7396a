"""What pruners are made of: scores, selection at an exact budget, schedules, probes."""
