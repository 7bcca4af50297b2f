"""HDF5 files of samples: their schema, writing, merging and reading, and the predecessor's files."""
