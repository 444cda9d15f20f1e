"""Scoring a policy on task panels."""

from agentrl.evaluation.interval import wilson_interval
from agentrl.evaluation.score import PanelScore, score_forest

__all__ = ["PanelScore", "score_forest", "wilson_interval"]
