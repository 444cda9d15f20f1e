"""Per-token losses before aggregation."""
