"""HDF5 files of samples: schema, writing, merging, reading, and the predecessor's files."""
