"""A prediction and its batch to a scalar: loss terms, the curriculum and the objective."""
