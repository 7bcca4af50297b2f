"""`smil-ray cluster init` and `smil-ray cluster check`."""
