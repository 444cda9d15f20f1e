"""Reinforcement-learning algorithms as values: each fills the slots of `Algorithm`."""
