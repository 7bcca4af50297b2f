"""What runs are good for: evaluation, prediction, ground-truth checks and the Python API."""
