"""Atomic, complete checkpoints.

A checkpoint is a directory `step-000123` that `transformers` loads as it is (weights in
safetensors, tokenizer), plus `trainer.pt` with everything else that the next step depends on and
`checkpoint.json` with hashes.  Where adapters are trained, the weights are merged ones, and the
folder `adapter` has the adapters in the format of peft.  It is written under a temporary name and
renamed last, so a directory with the final name is whole; a killed process leaves at most
`.partial` directories, which the next save removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agentrl.errors import DataError
from agentrl.models.load import save as save_model

FORMAT = 1
STATE_FILE = "trainer.pt"
MANIFEST = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        path: its directory.
        step: training steps done.
        state: everything `save` was given.
    """

    path: Path
    step: int
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        directory: `checkpoints/` of the run directory.
        keep: how many of the newest checkpoints are kept; 0 keeps all.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        self.directory = directory
        self.keep = keep

    def save(self, step: int, model: nn.Module, tokenizer: Any, state: dict[str, Any]) -> Path:
        """Write a checkpoint; it appears whole or not at all."""
        self._remove_rests()
        final = self.directory / f"step-{step:06d}"
        partial = final.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, tokenizer, partial)
        torch.save(state, partial / STATE_FILE)
        manifest = {"format": FORMAT, "step": step, "files": _digests(partial)}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        if final.exists():
            self._remove(final)
        os.replace(partial, final)
        _sync(self.directory)
        for path in self.paths()[: -self.keep] if self.keep else ():
            self._remove(path)
        return final

    def paths(self) -> list[Path]:
        """Return the whole checkpoints, oldest first."""
        found = [path for path in self.directory.glob("step-*") if path.suffix != ".partial"]
        return sorted((p for p in found if p.is_dir()), key=lambda p: (len(p.name), p.name))

    def latest(self) -> Checkpoint | None:
        """Load the newest checkpoint, or None where there is none."""
        paths = self.paths()
        return load_checkpoint(paths[-1]) if paths else None

    def _remove(self, path: Path) -> None:
        """Delete a checkpoint; killed half-way, what is left does not look whole."""
        doomed = path.with_suffix(".old.partial")
        os.replace(path, doomed)
        shutil.rmtree(doomed)

    def _remove_rests(self) -> None:
        """Delete what killed processes have left half-written or half-deleted."""
        for path in self.directory.glob("*.partial*"):
            shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's training state; the model is loaded with `agentrl.models.load`.

    Raises:
        DataError: a file is missing, cut short or altered.
    """
    step = verify(path)
    try:
        state = torch.load(path / STATE_FILE, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling may raise anything
        raise DataError(
            f"Checkpoint {str(path)!r}: {STATE_FILE} cannot be read ({error}). It was written by "
            "another version of AgentRL or of torch; use that one, or start in another `run_dir`."
        ) from error
    return Checkpoint(path, step, state)


def verify(path: Path) -> int:
    """Compare a checkpoint's files with its manifest; return its step.

    Raises:
        DataError: a file is missing, cut short or altered.
    """
    advice = f"Delete {str(path)!r} to go on from the one before it."
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        form, step, files = manifest["format"], int(manifest["step"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Checkpoint {path.name} has no readable {MANIFEST}. {advice}") from error
    if form != FORMAT:
        raise DataError(
            f"Checkpoint {path.name} has format {form!r}; this version of AgentRL reads format "
            f"{FORMAT}. Use the version that wrote it."
        )
    actual = _digests(path)
    missing = sorted(files.keys() - actual.keys())
    altered = sorted(name for name in files.keys() & actual.keys() if actual[name] != files[name])
    if missing or altered:
        parts = [f"{', '.join(missing)} missing"] if missing else []
        parts += [f"{', '.join(altered)} cut short or altered"] if altered else []
        raise DataError(f"Checkpoint {path.name} is corrupt: {'; '.join(parts)}. {advice}")
    return step


def _digests(directory: Path) -> dict[str, str]:
    """Return the hash of every file but the manifest, by its path in the directory."""
    digests = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = path.relative_to(directory).as_posix()
        if name != MANIFEST:
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _sync(path: Path) -> None:
    """Make a file, or the names in a directory, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
