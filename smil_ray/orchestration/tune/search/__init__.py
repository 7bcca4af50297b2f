"""Where trials come from: the search space, samplers and the queue."""
