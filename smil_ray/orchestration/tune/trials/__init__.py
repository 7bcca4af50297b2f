"""What runs as a trial: its process, resources, packing and outcome."""
