"""The run folder, and its way to MLflow."""
