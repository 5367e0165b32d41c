"""Weights of others in, models for other programs out."""
