"""One training run on Ray Train, or in this process."""
