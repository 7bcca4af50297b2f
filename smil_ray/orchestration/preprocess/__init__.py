"""replicAnt folders to one HDF5 file on Ray Data."""
