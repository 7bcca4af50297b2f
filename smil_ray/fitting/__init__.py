"""Parameters fitted to one image's labels by optimisation: stages, terms, acceptance."""
