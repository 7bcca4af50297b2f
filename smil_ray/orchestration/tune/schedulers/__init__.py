"""Which trials go on: ASHA, median stopping, successive halving, population-based training."""
