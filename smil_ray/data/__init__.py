"""Samples and batches: data sets of any format, splits, filters, augmentation, image reading."""
