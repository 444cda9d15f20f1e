"""Policy views, importance ratios, and how far they may move."""
