"""Several runs trained in one process on one stream of batches."""
