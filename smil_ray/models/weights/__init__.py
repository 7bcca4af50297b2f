"""Weights of backbones: from packages, hubs, files and runs, and what fits which architecture."""
