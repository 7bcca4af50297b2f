"""The cache of a frozen backbone's features: its key, building, folders and reading."""
