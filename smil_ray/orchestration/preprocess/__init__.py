"""replicAnt folders and files of labels to one HDF5 file on Ray Data."""
