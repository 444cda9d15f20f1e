"""What AgentRL adds to vLLM's workers: taking over new weights, handing out notes of tokens.

vLLM mixes `Worker` into its own worker class (`worker_extension_cls`) and calls the methods by
name.  Weights go through `reload_weights(weights_iterator=...)`, which vLLM has from 0.17 on and
which keeps what it derived from the weights (packed or fused layers) right; writing into the
parameters does not.  Always the complete set: vLLM ignores a part of a fused group silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from agentrl.engines.vllm.broadcast import Group, join
from agentrl.engines.vllm.records import Records, records_of

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class Worker:
    """Methods for vLLM's worker; all names begin with `agentrl_`, so that none clashes."""

    vllm_config: VllmConfig
    rank: int
    device: torch.device
    _agentrl_group: Group | None = None

    @property
    def _agentrl_records(self) -> Records:
        return records_of(self.vllm_config.instance_id)

    def agentrl_take(self, tags: list[str]) -> dict[str, Any]:
        """Return and forget what was noted of ended requests."""
        return self._agentrl_records.take(tags)

    def agentrl_version(self) -> dict[str, int]:
        """Return the version of the weights in use."""
        return {"version": self._agentrl_records.version}

    def agentrl_set_version(self, version: int) -> None:
        """Give the weights in use a version."""
        self._agentrl_records.version = version

    def agentrl_sees(self, path: str, content: str) -> dict[str, bool]:
        """Say whether this worker reads `content` in a file: it shares that folder with us."""
        try:
            return {"same": Path(path).read_text(encoding="utf-8") == content}
        except OSError:
            return {"same": False}

    def agentrl_load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take over weights from this very process."""
        self._agentrl_use(weights, version)

    def agentrl_load_file(self, path: str, version: int) -> None:
        """Take over the weights of a safetensors file."""

        def tensors() -> Iterator[tuple[str, Tensor]]:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    yield name, file.get_tensor(name)

        self._agentrl_use(tensors(), version)

    def agentrl_join(self, host: str, port: int, world: int, backend: str, seconds: float) -> None:
        """Enter the process group in which the learner is rank 0 and workers follow."""
        device = self.device if backend == "nccl" else torch.device("cpu")
        self._agentrl_group = join(
            host, port, rank=1 + self.rank, world=world, device=device, seconds=seconds
        )

    def agentrl_receive(self, layout: list[tuple[str, str, list[int]]], version: int) -> None:
        """Take over weights that the learner broadcasts in the order of `layout`.

        Args:
            layout: (name, type, shape) of each tensor.
            version: of the weights.
        """
        group = self._agentrl_group
        if group is None:
            raise RuntimeError("This worker has not entered the learner's process group.")
        # A tensor of its own each: vLLM keeps them until a layer is complete.
        tensors = ((name, group.receive(kind, shape)) for name, kind, shape in layout)
        self._agentrl_use(tensors, version)

    def _agentrl_use(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.reload_weights(weights_iterator=iter(weights))  # type: ignore[attr-defined]
        _pack_tied_heads(self.model_runner.get_model())  # type: ignore[attr-defined]
        self._agentrl_records.version = version


def _pack_tied_heads(model: nn.Module) -> None:
    """Let output heads follow the embedding that they are tied to.

    On the CPU vLLM packs the weights of every linear layer once more for its kernels.  A tied head
    gets no weights of its own in an update, so vLLM 0.32 leaves its packed copy as it was, and
    samples with the old head.
    """
    packed: list[Any] = [module for module in model.modules() if hasattr(module, "cpu_linear")]
    for module in packed:
        if sum(module.weight is other.weight for other in packed) > 1:
            module.quant_method.process_weights_after_loading(module)
