"""Figures of networks and baselines on held-out samples, with intervals, as tables and words."""
