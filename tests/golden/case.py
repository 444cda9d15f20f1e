"""A golden file, and how its results are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DEFAULT_TOLERANCE = (1e-5, 1e-6)
"""(rtol, atol) for files that name none: their originals ran in float32."""


@dataclass(frozen=True)
class Case:
    """One call of official code.

    Attributes:
        method: for example `grpo`.
        function: for example `advantage`.
        config: arguments that are settings.
        inputs: arguments that are data.
        outputs: what came back.
        tolerance: (rtol, atol).
        source: owner/repo:path of the code that ran.
    """

    method: str
    function: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    tolerance: tuple[float, float]
    source: str = ""

    def tensor(self, name: str) -> Tensor:
        """Return an input as float64; the words `nan` and `inf` are numbers."""
        return torch.tensor(_numbers(self.inputs[name]), dtype=torch.float64)

    def ids(self, name: str) -> Tensor:
        """Return an input of hashable labels as integers, equal for equal labels."""
        labels = self.inputs[name]
        order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        return torch.tensor([order[label] for label in labels])


@dataclass(frozen=True)
class Result:
    """What an adapter computed.

    Attributes:
        outputs: by the name the file uses; nested mappings compare only the keys given here.
        where: bool tensors that limit the comparison of an output to some positions.
        not_ours: outputs of the file that have no counterpart here, with the reason.
    """

    outputs: Mapping[str, Any]
    where: Mapping[str, Tensor] = field(default_factory=dict)
    not_ours: Mapping[str, str] = field(default_factory=dict)


Adapter = Callable[[Case], Result]


def load(path: Path) -> Iterator[Case]:
    """Yield the calls of a file: the main one, and those under `more`."""
    data = json.loads(path.read_text())
    method, function = path.stem.split(".")[:2]
    rtol, atol = data.get("rtol"), data.get("atol")
    given = rtol is not None and atol is not None
    for call in (data, *data.get("more", ())):
        yield Case(
            method=data.get("method", method),
            function=data.get("function", function.split("-")[0]),
            config=call.get("config") or {},
            inputs=call["inputs"],
            outputs=call["outputs"],
            tolerance=(rtol, atol) if given else DEFAULT_TOLERANCE,
            source=data.get("source", ""),
        )


def mismatches(case: Case, result: Result) -> list[str]:
    """Return one line for every output that differs or was not computed."""
    lines = []
    for name, wanted in case.outputs.items():
        if name in result.not_ours:
            continue
        if name not in result.outputs:
            if name != "metrics":
                lines.append(f"{name}: the adapter does not compute it")
            continue
        lines += _compare(name, wanted, result.outputs[name], case.tolerance, result.where)
    if not lines and not set(case.outputs) & set(result.outputs):
        lines.append("nothing was compared")
    return lines


def _compare(
    name: str,
    wanted: Any,
    ours: Any,
    tolerance: tuple[float, float],
    where: Mapping[str, Tensor],
) -> list[str]:
    if isinstance(wanted, Mapping):
        pairs = ((f"{name}.{key}", wanted[key], ours[key]) for key in ours if key in wanted)
        return [line for key, a, b in pairs for line in _compare(key, a, b, tolerance, {})]
    if _irregular(wanted):
        if len(ours) != len(wanted):
            return [f"{name}: {len(ours)} entries instead of {len(wanted)}"]
        rows = enumerate(zip(wanted, ours, strict=True))
        parts = ((f"{name}[{number}]", a, b) for number, (a, b) in rows)
        return [line for key, a, b in parts for line in _compare(key, a, b, tolerance, {})]
    if isinstance(wanted, str) and isinstance(ours, str):
        return [] if ours == wanted else [f"{name}: {ours!r} instead of {wanted!r}"]
    if wanted is None:
        return [] if ours is None else [f"{name}: {ours} instead of nothing"]
    if isinstance(wanted, list) and wanted and _is_word(wanted[0]):
        return [] if list(ours) == wanted else [f"{name}: {list(ours)} instead of {wanted}"]
    want = torch.as_tensor(_numbers(wanted), dtype=torch.float64)
    have = torch.as_tensor(_numbers(ours), dtype=torch.float64).detach()
    if want.shape != have.shape:
        return [f"{name}: shape {tuple(have.shape)} instead of {tuple(want.shape)}"]
    if name in where:
        want, have = want[where[name]], have[where[name]]
    rtol, atol = tolerance
    close = torch.isclose(have, want, rtol=rtol, atol=atol, equal_nan=True)
    if bool(close.all()):
        return []
    worst = float((have - want).abs().max()) if want.numel() else math.nan
    return [f"{name}: {int((~close).sum())} of {close.numel()} differ, by {worst:.3g} at most"]


def _irregular(wanted: Any) -> bool:
    """Return whether a list holds mappings, gaps, lists of different lengths, or lists and numbers.

    So it does if a list in it does.
    """
    if not isinstance(wanted, list):
        return False
    lengths = {len(row) if isinstance(row, list) else -1 for row in wanted}
    odd = any(row is None or isinstance(row, Mapping) or _irregular(row) for row in wanted)
    return odd or len(lengths) > 1


def _numbers(value: Any) -> Any:
    """Return numbers for what JSON has no number for: null and the words `nan` and `inf`."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str):
        return float(value)
    return math.nan if value is None else value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.lower().lstrip("+-") not in ("nan", "inf", "infinity")
