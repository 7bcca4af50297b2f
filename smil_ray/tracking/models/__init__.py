"""A run's network at MLflow: logged as a model, registered under a name, found by its address."""
