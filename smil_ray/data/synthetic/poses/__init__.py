"""Plausible poses of an animal: postures, reach, clearance, limits, and what they add up to."""
