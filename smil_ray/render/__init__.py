"""Joints and vertices to pixels: cameras, silhouettes, pictures."""
