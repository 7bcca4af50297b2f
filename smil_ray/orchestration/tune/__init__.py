"""Searches on Ray Tune: driver, journal, budget, and the training of the winner."""
