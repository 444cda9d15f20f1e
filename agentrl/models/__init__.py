"""Loading, building and running causal language models."""
