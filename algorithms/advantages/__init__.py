"""Base estimators of advantages: of episodes, steps and tokens."""
