"""Ways of new weights from the learner to vLLM's workers.

| way | for | copies |
|---|---|---|
| `Direct` | the same process | none here; vLLM copies tensor by tensor |
| `SharedFile` | the same machine, or a file system that both see | one, in memory where there is |
| `Broadcast` | anywhere: gloo, or NCCL where both sides have GPUs | one tensor at a time |
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor

from agentrl.engines.vllm import broadcast
from agentrl.engines.vllm.backend import Backend
from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.errors import ConfigError, EngineError

Weights = Sequence[tuple[str, Tensor]]
_MEMORY = Path("/dev/shm")
_SPARE = 1.2
"""A folder in memory is used if it has room for the weights this many times."""


class WeightTransfer(Protocol):
    """One way of weights to the workers."""

    async def send(self, backend: Backend, weights: Weights, version: int) -> None:
        """Make all workers use `weights` under `version`; returns when they do."""

    async def close(self) -> None:
        """Free what is held between updates."""


class Direct:
    """Hands the learner's own tensors to a worker in this process."""

    async def send(self, backend: Backend, weights: Weights, version: int) -> None:
        """Make the worker use `weights`."""
        await backend.call("agentrl_load", weights, version)

    async def close(self) -> None:
        """Nothing is held."""


class SharedFile:
    """Writes a safetensors file, in memory if there is room, that the workers map into theirs."""

    async def send(self, backend: Backend, weights: Weights, version: int) -> None:
        """Make all workers use `weights`."""
        needed = sum(tensor.numel() * tensor.element_size() for _, tensor in weights)
        path = (
            shared_folder(needed)
            / f"agentrl-weights-{os.getpid()}-{secrets.token_hex(4)}.safetensors"
        )
        try:
            tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in weights}
            await asyncio.to_thread(save_file, tensors, str(path))
            del tensors
            await backend.call("agentrl_load_file", str(path), version)
        finally:
            path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Nothing is held."""


class Broadcast:
    """Sends tensors through a process group of this process and all workers.

    Args:
        host: name or address of this machine, as the workers reach it.
        device: of the weights; a GPU sends with NCCL, else gloo is used.
        seconds: how long to wait for the workers.
    """

    def __init__(self, host: str, device: torch.device, seconds: float) -> None:
        self._host, self._device, self._seconds = host, device, seconds
        self._group: broadcast.Group | None = None

    async def send(self, backend: Backend, weights: Weights, version: int) -> None:
        """Make all workers use `weights`."""
        if self._group is None:
            self._group = await self._meet(backend)
        layout = [(name, str(t.dtype).removeprefix("torch."), list(t.shape)) for name, t in weights]
        try:
            await asyncio.gather(
                backend.call("agentrl_receive", layout, version),
                asyncio.to_thread(_send_all, self._group, weights),
            )
        except BaseException:
            self._group = None  # the two sides may not be at the same tensor any more
            raise

    async def _meet(self, backend: Backend) -> broadcast.Group:
        world = 1 + len(await backend.call("agentrl_version"))
        store = broadcast.serve(self._host, self._seconds)
        nccl = self._device.type == "cuda"
        entered = asyncio.to_thread(
            broadcast.enter,
            store,
            rank=0,
            world=world,
            device=self._device if nccl else torch.device("cpu"),
            seconds=self._seconds,
        )
        kind = "nccl" if nccl else "gloo"
        asked = backend.call(
            "agentrl_join", self._host, store.port, world, kind, float(self._seconds)
        )
        group: broadcast.Group = (await asyncio.gather(entered, asked))[0]
        return group

    async def close(self) -> None:
        """Leave the group."""
        self._group = None


def _send_all(group: broadcast.Group, weights: Weights) -> None:
    for _, tensor in weights:
        group.send(tensor)


def shared_folder(needed: int) -> Path:
    """Return a folder in memory if it has room for so many bytes, else one for temporary files.

    Raises:
        EngineError: neither has.
    """
    for folder in (_MEMORY, Path(tempfile.gettempdir())):
        if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > needed * _SPARE:
            return folder
    raise EngineError(
        f"The weights take {needed / 2**30:.1f} GiB, and neither {_MEMORY} nor "
        f"{tempfile.gettempdir()} has room for them; use `engine.vllm.transfer=broadcast`."
    )


async def shares_files(backend: Backend) -> bool:
    """Say whether all workers see the files of this machine."""
    content = secrets.token_hex(16)
    path = shared_folder(0) / f"agentrl-probe-{content}"
    try:
        path.write_text(content, encoding="utf-8")
        return all(
            answer["same"] for answer in await backend.call("agentrl_sees", str(path), content)
        )
    finally:
        path.unlink(missing_ok=True)


class ProcessTransfer:
    """The way of `engine.vllm.transfer`, chosen when the first weights go.

    Args:
        settings: `transfer`, `host` and `timeout` are read.
    """

    def __init__(self, settings: VLLMSettings) -> None:
        self._settings = settings
        self._way: WeightTransfer | None = None

    async def send(self, backend: Backend, weights: Weights, version: int) -> None:
        """Make all workers use `weights`.

        Raises:
            ConfigError: a file is wanted and the workers do not see it.
        """
        if self._way is None:
            self._way = await self._choose(backend, weights[0][1].device)
        await self._way.send(backend, weights, version)

    async def _choose(self, backend: Backend, device: torch.device) -> WeightTransfer:
        settings = self._settings
        if settings.transfer != "broadcast":
            if await shares_files(backend):
                return SharedFile()
            if settings.transfer == "file":
                raise ConfigError(
                    "`engine.vllm.transfer` is 'file', but vLLM's workers do not see files of this "
                    "machine; use 'broadcast', with `engine.vllm.host`."
                )
        return Broadcast(settings.host, device, settings.timeout)

    async def close(self) -> None:
        """Free what the way holds."""
        if self._way is not None:
            await self._way.close()
