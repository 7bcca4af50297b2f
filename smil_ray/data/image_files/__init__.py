"""Encoded pictures: what their headers say, and their pixels."""
