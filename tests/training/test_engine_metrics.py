"""The engine's part of a step's metrics."""

from __future__ import annotations

import pytest

from agentrl.engines import EngineStats
from agentrl.training.engine_metrics import engine_metrics


def test_only_what_happened_in_between_counts():
    before = EngineStats(
        requested_tokens=1000, cached_tokens=900, computed_tokens=100, busy_seconds=7.0
    )
    after = EngineStats(
        requested_tokens=1400, cached_tokens=1200, computed_tokens=210, busy_seconds=10.0
    )
    assert engine_metrics(before, after, 4.0) == {
        "engine/tokens_requested": 400.0,
        "engine/tokens_computed": 110.0,
        "engine/cached_share": pytest.approx(0.75),
        "engine/busy_share": pytest.approx(0.75),
    }


def test_a_rollout_without_requests_has_no_share_of_cached_tokens():
    values = engine_metrics(EngineStats(), EngineStats(), 2.0)
    assert values["engine/busy_share"] == 0 and "engine/cached_share" not in values
