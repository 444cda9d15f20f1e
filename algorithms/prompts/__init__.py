"""Variations of the first prompt."""
