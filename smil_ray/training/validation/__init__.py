"""What a network is worth on validation samples: metrics that no curriculum changes."""
