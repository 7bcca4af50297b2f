"""Training in one process, without Ray: loop, optimiser, state and throughput."""
