"""Checkpoints of a run: writing, keeping, copying and loading them."""
