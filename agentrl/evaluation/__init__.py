"""Scoring a policy on task panels."""

from agentrl.evaluation.score import PanelScore, score_forest, wilson_interval

__all__ = ["PanelScore", "score_forest", "wilson_interval"]
