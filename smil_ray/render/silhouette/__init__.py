"""Differentiable silhouettes: the reference and a compiled CPU implementation."""
