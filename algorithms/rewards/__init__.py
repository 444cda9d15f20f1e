"""Rewards without ground truth, and what is added to rewards before anything reads them."""
