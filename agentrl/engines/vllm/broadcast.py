"""Tensors from the learner to workers elsewhere, over a process group of their own.

A group is made of a store and a process group directly: neither side's default group of
`torch.distributed` takes part, so vLLM's own groups and those of FSDP are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

_PREFIX = "agentrl-weights"


@dataclass(frozen=True, slots=True)
class Group:
    """One learner (rank 0) and the workers of an engine.

    Attributes:
        process_group: sends tensors from rank 0 to all.
        device: on which tensors are sent and received.
        store: keeps the group together; the learner's serves it.
    """

    process_group: dist.ProcessGroup
    device: torch.device
    store: Store

    def send(self, tensor: Tensor) -> None:
        """Send a tensor to all workers; returns when it may be changed."""
        options = dist.BroadcastOptions()
        options.rootRank = 0
        self.process_group.broadcast([tensor.detach().to(self.device).contiguous()], options).wait()

    def receive(self, kind: str, shape: list[int]) -> Tensor:
        """Return the next tensor that the learner sends.

        Args:
            kind: its type, for example `bfloat16`.
            shape: of it.
        """
        tensor = torch.empty(shape, dtype=getattr(torch, kind), device=self.device)
        options = dist.BroadcastOptions()
        options.rootRank = 0
        self.process_group.broadcast([tensor], options).wait()
        return tensor


def serve(host: str, seconds: float) -> TCPStore:
    """Return the store that a group of processes meets at, on a free port of this machine."""
    return TCPStore(
        host, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=seconds)
    )


def join(
    host: str, port: int, *, rank: int, world: int, device: torch.device, seconds: float
) -> Group:
    """Enter a group as a worker; waits until all have come.

    Args:
        host: of the learner.
        port: of the learner's store.
        rank: of this process, from 1.
        world: learner and workers.
        device: a GPU for NCCL, the CPU for gloo.
        seconds: how long to wait for the others and for every tensor.
    """
    store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=seconds))
    return enter(store, rank=rank, world=world, device=device, seconds=seconds)


def enter(store: Store, *, rank: int, world: int, device: torch.device, seconds: float) -> Group:
    """Make the process group of one process, which meets the others at `store`."""
    timeout = timedelta(seconds=seconds)
    prefixed = PrefixStore(_PREFIX, store)
    group: Any  # torch's classes of groups are typed as unrelated
    if device.type == "cuda":
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = timeout
        group = dist.ProcessGroupNCCL(prefixed, rank, world, options)
    else:
        group = dist.ProcessGroupGloo(prefixed, rank, world, timeout)
    return Group(group, device, store)
