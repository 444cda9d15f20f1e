"""Golden files of tools, scorers and chat templates: official functions, case by case.

Every module `tools_*` beside this one has `FUNCTIONS`, by how the names of their files begin
(`qa.em_f1` for `qa.em_f1.json`; the longest counts): each takes a case's inputs and the file's
`config`, and returns what is expected.  `TOLERANCES` there may say how far floats may differ.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agentrl.errors import MissingExtraError
from tests.golden.missing import Missing

Function = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
HERE = Path(__file__).parent
TOLERANCE = 1e-6
MOST_PROBLEMS = 5
"""Of one file that are named; the rest is counted."""


def _found() -> tuple[dict[str, Function], dict[str, float]]:
    functions: dict[str, Function] = {}
    tolerances: dict[str, float] = {}
    for module in pkgutil.iter_modules([str(HERE)]):
        if module.name.startswith("tools_"):
            found = importlib.import_module(f"tests.golden.{module.name}")
            functions |= found.FUNCTIONS
            tolerances |= getattr(found, "TOLERANCES", {})
    return functions, tolerances


FUNCTIONS, TOLERANCES = _found()


def is_of_tools(path: Path) -> bool:
    """Say whether a file holds cases of a function (`inputs`, `expected`)."""
    try:
        data = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(data, dict) and "cases" in data and "official" in data


def check(path: Path) -> list[str]:
    """Return what is wrong with our results for a file; empty if they agree.

    Raises:
        Missing: this machine lacks what the file needs.
        MissingExtraError: an extra is not installed.
    """
    known = [name for name in FUNCTIONS if path.name.startswith(name)]
    if not known:
        return [f"no function for {path.stem!r}"]
    name = max(known, key=len)
    function = FUNCTIONS[name]
    data = json.loads(path.read_text())
    if not data["cases"]:
        return ["it holds no cases"]
    problems = list(_problems(function, data, TOLERANCES.get(name, TOLERANCE)))
    more = len(problems) - MOST_PROBLEMS
    return problems[:MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])


def _problems(function: Function, data: Mapping[str, Any], tolerance: float) -> Iterator[str]:
    for case in data["cases"]:
        try:
            ours = function(case["inputs"], data.get("config", {}))
        except (Missing, MissingExtraError):
            raise
        except Exception as error:
            yield f"case {case['id']}: {type(error).__name__}: {error}"
            continue
        for where, text in differences(ours, case["expected"], tolerance):
            yield f"case {case['id']}{where}: {text} ({str(case['inputs'])[:120]})"


def differences(ours: Any, expected: Any, tolerance: float) -> Iterator[tuple[str, str]]:
    """Yield where two JSON values differ, and how; numbers may by `tolerance`."""
    if isinstance(expected, dict) and isinstance(ours, dict):
        for key, value in expected.items():
            if key not in ours:
                yield f".{key}", "missing"
            else:
                for where, text in differences(ours[key], value, tolerance):
                    yield f".{key}{where}", text
    elif isinstance(expected, list) and isinstance(ours, list | tuple):
        if len(ours) != len(expected):
            yield "", f"{len(ours)} elements instead of {len(expected)}"
            return
        for index, (mine, theirs) in enumerate(zip(ours, expected, strict=True)):
            for where, text in differences(mine, theirs, tolerance):
                yield f"[{index}]{where}", text
    elif not _equal(ours, expected, tolerance):
        yield "", f"{ours!r} instead of {expected!r}"


def _equal(ours: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, float) and isinstance(ours, int | float):
        if math.isnan(expected) or math.isinf(expected):
            return str(float(ours)) == str(expected)
        return math.isclose(ours, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(ours == expected)
