"""Corrections for the policy of the rollout engine."""
