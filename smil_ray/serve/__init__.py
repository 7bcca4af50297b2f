"""A web page for one trained network: pictures in, overlays, meshes, angles and labels out."""
