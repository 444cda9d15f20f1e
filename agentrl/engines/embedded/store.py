"""Keys and values of many sequences in one tensor, addressed by slot and position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class KVShape:
    """What one cached token looks like.

    Attributes:
        layers: decoder layers.
        heads: key/value heads J.
        width: head width D.
        dtype: number type of the cache, that of the model.
        device: where the model is.
    """

    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token in all layers."""
        return 2 * self.layers * self.heads * self.width * self.dtype.itemsize

    @classmethod
    def of(cls, model: nn.Module) -> KVShape:
        """Read the shape from a Hugging Face causal LM."""
        config: Any = model.config
        heads: int = config.num_attention_heads
        weight = next(model.parameters())
        return cls(
            layers=config.num_hidden_layers,
            heads=getattr(config, "num_key_value_heads", None) or heads,
            width=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=weight.dtype,
            device=weight.device,
        )


class KVStore:
    """A [layers, 2, slots, J, capacity, D] tensor that grows on demand (2: keys, values).

    Layers share one tensor, so copying a sequence is one operation whatever the depth.
    """

    def __init__(self, shape: KVShape) -> None:
        self.shape = shape
        self.slots = 0
        self.capacity = 0
        self.data = self._zeros(0, 0)

    def _zeros(self, slots: int, capacity: int) -> Tensor:
        # Zeros, because a masked cell still takes part in 0 * value, which must not be 0 * NaN.
        size = (self.shape.layers, 2, slots, self.shape.heads, capacity, self.shape.width)
        return torch.zeros(size, dtype=self.shape.dtype, device=self.shape.device)

    def bytes_of(self, slots: int, capacity: int) -> int:
        """Bytes that a store of this size takes."""
        return slots * capacity * self.shape.token_bytes

    @property
    def bytes(self) -> int:
        """Bytes allocated now."""
        return self.bytes_of(self.slots, self.capacity)

    def resize(self, slots: int, capacity: int, keep: Sequence[int] = ()) -> None:
        """Reallocate; the slots in `keep` become slots 0, 1, ... in that order."""
        data = self._zeros(slots, capacity)
        length = min(capacity, self.capacity)
        if keep and length:
            in_place = list(keep) == list(range(len(keep)))
            kept = self.data[:, :, slice(len(keep)) if in_place else list(keep), :, :length]
            data[:, :, : len(keep), :, :length] = kept
        self.data, self.slots, self.capacity = data, slots, capacity

    def copy(self, source: KVStore, source_slot: int, begin: int, slot: int, count: int) -> None:
        """Copy `count` tokens from position `begin` of another slot to the start of `slot`."""
        if count > 0:
            taken = source.data[:, :, source_slot, :, begin : begin + count]
            # clone: source and target may be the same slot of the same tensor.
            self.data[:, :, slot, :, :count] = taken.clone()
