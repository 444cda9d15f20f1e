"""Which tokens, and how much they weigh."""
