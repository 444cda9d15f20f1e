"""Run every golden file of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.golden import adapters_advantage, adapters_loss, adapters_other
from tests.golden.case import Adapter, load, mismatches

DATA = Path(__file__).parent / "data"

ADAPTERS: dict[tuple[str, str], Adapter] = {
    **adapters_advantage.ADAPTERS,
    **adapters_loss.ADAPTERS,
    **adapters_other.ADAPTERS,
}


def folder() -> Path:
    """Return the folder in AGENTRL_GOLDEN, or our own."""
    return Path(os.environ.get("AGENTRL_GOLDEN") or DATA)


def check(path: Path) -> list[str]:
    """Return what is wrong with our results for one file; empty if they agree."""
    problems: list[str] = []
    for case in load(path):
        adapter = ADAPTERS.get((case.method, case.function))
        if adapter is None:
            return [f"no adapter for method {case.method!r}, function {case.function!r}"]
        try:
            problems += mismatches(case, adapter(case))
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
    return problems


def run(where: Path, write: Callable[[str], object] = print) -> int:
    """Check every *.json of a folder, print failures and a last line; return the exit status."""
    paths = sorted(where.glob("*.json"))
    failed = 0
    for path in paths:
        problems = check(path)
        failed += bool(problems)
        for problem in problems:
            write(f"FAILED {path.name}: {problem}")
    write(f"{len(paths) - failed} passed, {failed} failed")
    return 1 if failed or not paths else 0
