"""Results of `predict` fitted to labels, masks and heat maps: targets, priors, the fit itself."""
