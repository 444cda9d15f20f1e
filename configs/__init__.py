"""Thin run configurations: only differences to the defaults."""
