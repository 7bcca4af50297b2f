"""replicAnt's JSON and pictures to samples, in the package's coordinates."""
