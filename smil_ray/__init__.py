"""Find, train and trust the network that reads an animal's 3D pose and shape from one image."""

__version__ = "0.1.0"
