"""Options that let methods with large defaults act on the tiny batches of the tests."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "bupo": {"layer": 0},
    "passk": {"component": "success"},  # some environments pay partial rewards
    "spear": {"buffer_rows": 2, "replay_warmup_steps": 2},
}
