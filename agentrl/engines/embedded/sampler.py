"""Draws the next token of many requests at once, each with its own settings and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agentrl.engines.base import SamplingParams
from agentrl.errors import EngineError

Words = npt.NDArray[np.uint64]
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF
_BELOW_ONE = 1.0 - 2.0**-24


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn for S requests.

    Attributes:
        ids: the sampled token ids.
        logprobs: of the distribution sampled from; of the untempered softmax where greedy.
        entropies: of the whole softmax at the sampling temperature (1 where greedy).
    """

    ids: list[int]
    logprobs: list[float]
    entropies: list[float]


def uniforms(seeds: Sequence[int], positions: Sequence[int]) -> list[float]:
    """One number in [0, 1) per (seed, position), whatever else is asked for.

    SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") as a
    counter-based generator: the seed is scrambled into a stream, the position counts within it.
    """
    with np.errstate(over="ignore"):
        stream = _scramble(np.array([seed & _MASK for seed in seeds], dtype=np.uint64))
        count = np.array(positions, dtype=np.uint64) + np.uint64(1)
        word = _scramble(stream + count * np.uint64(_GOLDEN))
    numbers: list[float] = ((word >> np.uint64(11)).astype(np.float64) * 2.0**-53).tolist()
    return numbers


def _scramble(word: Words) -> Words:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = word ^ (word >> np.uint64(31))
    return mixed


def sample(logits_SV: Tensor, params: Sequence[SamplingParams], noise: Sequence[float]) -> Draw:
    """Sample one token per row by inverting the cumulative distribution at `noise`.

    Args:
        logits_SV: one row per request, any floating type; the arithmetic is float32.
        params: settings of each row.
        noise: one number in [0, 1) per row.

    Raises:
        EngineError: a temperature rule gave a temperature that is not above 0.
    """
    logits_SV = logits_SV.float()
    device = logits_SV.device
    temperatures_S = temperatures(logits_SV, params)
    if temperatures_S is not None:
        logits_SV = logits_SV / temperatures_S[:, None]
    logprobs_SV = torch.log_softmax(logits_SV, dim=-1)
    probs_SV = logprobs_SV.exp()
    # Probability 0 has log-prob minus infinity when logits are masked; 0 * -inf would be NaN.
    entropies_S = -(probs_SV * logprobs_SV.clamp_min(-1e30)).sum(dim=-1)
    cut = [i for i, setting in enumerate(params) if _truncates(setting)]
    if cut:
        rows = torch.tensor(cut, device=device)
        kept = truncate(logprobs_SV[rows], [params[i] for i in cut])
        logprobs_SV[rows] = torch.log_softmax(kept, dim=-1)
        probs_SV[rows] = logprobs_SV[rows].exp()
    sums_SV = probs_SV.cumsum(dim=-1)
    level_S = torch.tensor(noise, dtype=torch.float32, device=device).clamp_max_(_BELOW_ONE)
    level_S1 = level_S[:, None] * sums_SV[:, -1:]
    ids_S1 = torch.searchsorted(sums_SV, level_S1, right=True)
    greedy = [setting.temperature == 0 for setting in params]
    if any(greedy):
        best = logprobs_SV.argmax(dim=-1, keepdim=True)
        ids_S1 = torch.where(torch.tensor(greedy, device=device)[:, None], best, ids_S1)
    # A row of NaN finds no token; the index is clamped, the NaN log-prob tells the caller.
    ids_S1 = ids_S1.clamp_max_(logits_SV.shape[1] - 1)
    chosen_S = logprobs_SV.gather(1, ids_S1)[:, 0]
    ids, logprobs, entropies = torch.stack(
        [ids_S1[:, 0].double(), chosen_S.double(), entropies_S.double()]
    ).tolist()
    return Draw([int(token) for token in ids], logprobs, entropies)


def temperatures(logits_SV: Tensor, params: Sequence[SamplingParams]) -> Tensor | None:
    """Return what divides the logits of each row, [S]; None if it is 1 everywhere.

    Rows with the same rule and base temperature are shown to it together.

    Raises:
        EngineError: a rule gave a temperature that is not above 0.
    """
    bases = [setting.temperature or 1.0 for setting in params]
    ruled: dict[tuple[int, float], list[int]] = {}
    for row, setting in enumerate(params):
        if setting.temperature_rule is not None and setting.temperature > 0:
            ruled.setdefault((id(setting.temperature_rule), setting.temperature), []).append(row)
    if not ruled and all(base == 1.0 for base in bases):
        return None
    found_S = torch.tensor(bases, device=logits_SV.device)
    for (_, base), rows in ruled.items():
        rule = params[rows[0]].temperature_rule
        assert rule is not None
        index_R = torch.tensor(rows, device=logits_SV.device)
        chosen_R = rule(logits_SV[index_R], base).to(found_S)
        if (chosen_R <= 0).any():  # NaN, where the logits are not finite, is reported later
            raise EngineError(
                f"`sampling.temperature_rule` {type(rule).__name__} gave the temperature "
                f"{float(chosen_R.min())}; it must be above 0"
            )
        found_S[index_R] = chosen_R
    return found_S


def _truncates(setting: SamplingParams) -> bool:
    return setting.temperature > 0 and (setting.top_p < 1 or setting.top_k > 0)


def truncate(logprobs_SV: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Set what top-k and then top-p (of the renormalised rest) leave out to minus infinity.

    A token stays under top-p while the tokens before it hold less than p, so at least one stays.
    Of equally probable tokens those with smaller ids stay.
    """
    device = logprobs_SV.device
    vocabulary = logprobs_SV.shape[1]
    top_k = torch.tensor([setting.top_k or vocabulary for setting in params], device=device)
    top_p = torch.tensor([setting.top_p for setting in params], device=device)
    ordered, order = torch.sort(logprobs_SV, dim=-1, descending=True, stable=True)
    rank = torch.arange(vocabulary, device=device)
    ordered = ordered.masked_fill(rank >= top_k[:, None], float("-inf"))
    probs = torch.softmax(ordered, dim=-1)
    before = probs.cumsum(dim=-1) - probs
    beyond = (before >= top_p[:, None]) & (top_p[:, None] < 1) & (rank > 0)
    ordered = ordered.masked_fill(beyond, float("-inf"))
    return torch.empty_like(ordered).scatter_(1, order, ordered)
