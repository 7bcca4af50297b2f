"""SMIL parameters to joints and vertices: body models, their files, the built-in insect."""
