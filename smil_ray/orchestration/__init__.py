"""Everything that runs on Ray: synthesis, preprocessing, features, training, searches."""
