"""Synthetic data sets in replicAnt's format, rendered from a body model."""
