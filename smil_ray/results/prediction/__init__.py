"""Pictures to SMIL parameters: boxes, known cameras, what the network sees, files of results."""
