"""Atomic, complete checkpoints.

A checkpoint is a directory `step-000123` that `transformers` loads as it is (weights in
safetensors, tokenizer), plus `trainer.pt` with everything else that the next step depends on and
`checkpoint.json` with sizes and hashes.  It is written under a temporary name and renamed last, so
a directory with the final name is whole; a killed process leaves at most a `.partial` directory,
which the next save removes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
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
        keep: most recent checkpoints kept; 0 keeps all.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        self.directory = directory
        self.keep = keep

    def save(self, step: int, model: nn.Module, tokenizer: Any, state: dict[str, Any]) -> Path:
        """Write a checkpoint; it appears whole or not at all."""
        final = self.directory / f"step-{step:06d}"
        partial = final.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_model(model, tokenizer, partial / "model")
        for file in (partial / "model").iterdir():
            file.rename(partial / file.name)
        (partial / "model").rmdir()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        _write_synced(partial / STATE_FILE, buffer.getvalue())
        manifest = {"format": FORMAT, "step": step, "files": _digests(partial)}
        _write_synced(partial / MANIFEST, json.dumps(manifest, indent=1).encode())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        self._drop_old()
        return final

    def paths(self) -> list[Path]:
        """Return the whole checkpoints, oldest first."""
        found = self.directory.glob("step-*")
        return sorted(path for path in found if not path.name.endswith(".partial"))

    def latest(self) -> Checkpoint | None:
        """Load the newest checkpoint, or None where there is none."""
        paths = self.paths()
        return load_checkpoint(paths[-1]) if paths else None

    def _drop_old(self) -> None:
        if self.keep:
            for path in self.paths()[: -self.keep]:
                shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's training state; the model is loaded with `agentrl.models.load`.

    Raises:
        DataError: a file is missing, cut short or altered.
    """
    advice = f"Delete the directory {str(path)!r} to go on from the checkpoint before it."
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files, step = manifest["files"], int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Checkpoint {path.name} has no readable {MANIFEST}. {advice}") from error
    if manifest.get("format") != FORMAT:
        raise DataError(
            f"Checkpoint {path.name} has format {manifest.get('format')!r}; this version of "
            f"AgentRL reads format {FORMAT}."
        )
    actual = _digests(path)
    damaged = [name for name, digest in files.items() if actual.get(name) != digest]
    if damaged:
        raise DataError(f"Checkpoint {path.name} is corrupt ({', '.join(damaged)}). {advice}")
    try:
        state = torch.load(path / STATE_FILE, map_location="cpu", weights_only=False)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"Checkpoint {path.name}: cannot read {STATE_FILE}. {advice}") from error
    return Checkpoint(path, step, state)


def _digests(directory: Path) -> dict[str, str]:
    files = sorted(file for file in directory.iterdir() if file.name != MANIFEST)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
