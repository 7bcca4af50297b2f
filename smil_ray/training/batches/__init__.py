"""Where the batches of a run come from: order, dataloaders, cached features."""
