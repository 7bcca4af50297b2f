"""Photographs and videos with 2D labels (SLEAP, DeepLabCut, COCO, ...) to samples."""
