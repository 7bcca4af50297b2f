"""The learning benchmark: its rows, the one that needs a GPU, and its table."""
