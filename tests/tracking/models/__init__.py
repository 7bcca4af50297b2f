"""Tests of networks at MLflow."""
