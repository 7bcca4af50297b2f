"""From run folders to MLflow, while a run lasts or later."""
