"""Simulated charging of electric cars: zones, demand, disturbances, and the queues that result."""
