"""Re-weighting of advantages before ratio and bounds are known."""
