"""The words everybody speaks: skeleton, rotations, parameters, samples, batches."""
