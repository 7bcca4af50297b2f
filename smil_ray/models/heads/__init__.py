"""Regression heads: tokens of a backbone to raw parameters."""
