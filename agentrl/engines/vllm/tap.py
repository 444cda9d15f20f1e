"""The entropy tap: a logits processor of vLLM that looks at logits and leaves them as they are.

vLLM names it `agentrl.engines.vllm.tap:EntropyTap` and imports it in its worker process.  It must
be called for greedy requests too, so it says that it may change what is most probable; then it sees
logits before the temperature, whatever the request.

There are two interfaces, and one class has both: that of the model runner up to now
(`vllm.v1.sample.logits_processor`, tested on the CPU), and that of runner "V2"
(`vllm.v1.worker.gpu.sample.logits_processor`, the default on GPUs from 0.30; written after its
documentation, not run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor

from agentrl.engines.vllm.records import TAG, entropies_of, records_of

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig

try:
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as ProcessorV2
except ImportError:  # vLLM before 0.30
    _Interfaces: tuple[type, ...] = (LogitsProcessor,)
else:
    _Interfaces = (LogitsProcessor, ProcessorV2)

_GREEDY = 1e-5
"""vLLM decodes greedily below this temperature; the entropy is then that of the plain softmax."""


def _tag(params: SamplingParams) -> str | None:
    return (params.extra_args or {}).get(TAG)


def _temperature(params: SamplingParams) -> float:
    return params.temperature if params.temperature >= _GREEDY else 1.0


class _Rows:
    """Follows requests through the rows of the first runner's batch."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._requests: dict[int, tuple[SamplingParams, list[int]]] = {}
        self._temperatures_R: Tensor | None = None

    def update(self, change: Any) -> None:
        """Follow a change of the batch; vLLM wants removed, added, moved in this order."""
        self._temperatures_R = None
        for row in change.removed:
            self._requests.pop(row, None)
        for row, params, _, sampled in change.added:
            self._requests[row] = (params, sampled)  # `sampled` grows as vLLM appends to it
        for source, target, direction in change.moved:
            moved = self._requests.pop(source, None)
            replaced = self._requests.pop(target, None)
            if moved is not None:
                self._requests[target] = moved
            if replaced is not None and direction.name == "SWAP":
                self._requests[source] = replaced

    def tagged(self, count: int) -> list[tuple[int, str, int]]:
        """Return (row, tag, place of the next token) of tagged requests among `count` rows."""
        return [
            (row, tag, len(sampled))
            for row, (params, sampled) in self._requests.items()
            if row < count and (tag := _tag(params)) is not None
        ]

    def temperatures(self, count: int) -> Tensor:
        """Return the temperatures of `count` rows, [R]."""
        if self._temperatures_R is None or len(self._temperatures_R) != count:
            values = [1.0] * count
            for row, (params, _) in self._requests.items():
                if row < count:
                    values[row] = _temperature(params)
            self._temperatures_R = torch.tensor(values, device=self._device)
        return self._temperatures_R


class _Slots:
    """Follows requests through the slots of runner V2; which rows they have is new every step."""

    def __init__(self, states: Any) -> None:
        self._prompts = states.prompt_len
        self._temperatures = torch.ones(states.max_num_reqs, device=states.device)
        self._tags: dict[int, str] = {}

    def add(self, slot: int, params: SamplingParams) -> bool:
        """Take over a slot; False where its request has no tag."""
        tag = _tag(params)
        self._tags.pop(slot, None)
        if tag is None:
            return False
        self._tags[slot] = tag
        self._temperatures[slot] = _temperature(params)
        return True

    def tagged(self, context: Any) -> list[tuple[int, str, int]]:
        """Return (row, tag, place of the next token) of tagged requests."""
        slots = context.idx_mapping_np.tolist()
        lengths = context.seq_lens_upper_bound_np.tolist()
        return [
            (row, self._tags[slot], length - int(self._prompts.np[slot]))
            for row, (slot, length) in enumerate(zip(slots, lengths, strict=False))
            if slot in self._tags
        ]

    def temperatures(self, context: Any) -> Tensor:
        """Return the temperatures of this step's rows, [R]."""
        return self._temperatures[context.expanded_idx_mapping.long()]


class EntropyTap(*_Interfaces):  # type: ignore[misc]
    """Notes the entropy of every token that a tagged request samples."""

    def __init__(self, vllm_config: VllmConfig, where: Any, pinned: bool = False) -> None:
        """Take part in one engine.

        Args:
            vllm_config: of the engine.
            where: the device, or with runner V2 the states of its slots.
            pinned: not used.
        """
        self._records = records_of(vllm_config.instance_id)
        self._rows = _Rows(where) if isinstance(where, torch.device) else None
        self._slots = _Slots(where) if self._rows is None else None

    def is_argmax_invariant(self) -> bool:
        """False, so that it is called for greedy requests too, and before the temperature."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests as the first runner adds, removes and moves them."""
        if batch_update is not None and self._rows is not None:
            self._rows.update(batch_update)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Follow a request as runner V2 gives it a slot."""
        return self._slots is not None and self._slots.add(req_idx, sampling_params)

    def apply(self, logits: Tensor, ctx: Any = None) -> Tensor:
        """Note the entropies of `logits` [R, V] and return it."""
        batch: Any = len(logits) if self._rows is not None else ctx
        requests: Any = self._rows if self._rows is not None else self._slots
        rows = requests.tagged(batch)
        if rows:
            self._records.note(rows, entropies_of(logits, requests.temperatures(batch)))
        return logits
