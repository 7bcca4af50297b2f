"""Files that start clusters: filled in for a newcomer, and validated offline."""
