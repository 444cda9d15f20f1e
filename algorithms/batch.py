"""What an algorithm sees: one batch of rows with documented axes.

Axis letters, for the whole project: G groups, B rows, T sampled tokens of a row, K turns,
V vocabulary.  A row is one sequence of one episode.  Only tokens that the policy sampled are in
the T axis, in the order they were sampled; observations are not (they are context, not actions).
Rows are padded on the right; `mask_BT` is 1 on real tokens and 0 on padding and on tokens that a
filter has removed.  Nothing may depend on what stands at masked positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.errors import StatisticMissing

__all__ = ["Batch", "Normaliser", "Stat"]


@dataclass(slots=True, kw_only=True)
class Batch:
    """Rows of a rollout.

    What algorithms always need comes first.  The rest is filled in as far as the rollout has it;
    a slot reads it with `need`, which raises where it is missing.

    Attributes:
        mask_BT: float or bool; 1 = sampled by the policy and allowed to learn.
        groups_B: integer group of each row; equal value = same task.
        episodes_B: integer episode of each row, unique over the batch; an episode has several
            rows in `window` mode, ordered in time by their turns.
        returns_B: sum of the episode's rewards, shaped.
        turns_BT: integer turn of each token, -1 at padding.
        versions_BT: integer version of the policy that sampled each token, -1 at padding and where
            it is not known.
        version: of the weights that the update begins with; None where nobody counts.
        rewards_BT: reward credited to single tokens (the last token of each turn); its row sums
            over an episode's rows equal `returns_B` before shaping.
        truncated_B: bool; the episode was cut by a limit rather than ended by the environment.
        outcomes_B: the episode's return before shaping, read by group filters; set to `returns_B`
            by `estimate_advantages` where it is missing.
        ids_BT: the sampled token ids.
        spans_BT: integer, unique over the batch: equal value = the same stored tokens, a node of
            the trajectory tree; -1 at padding.
        given_BN: further spans on the path of the row's episode, on which only the episode is
            trained that it left; -1 at padding.
        anchors_BT: integer state in which the token's turn began; equal value = equal state, -1
            where the environment names none.
        observations_BT: index into `texts` of what the environment showed before the turn; -1 none.
        answers_B: index into `texts` of the episode's final answer; -1 where it gave none.
        texts: what the two above point to.
        invalid_BT: bool; the token's turn did not have the form that the prompt asks for.
        unreadable_B: bool; the row holds text that is no valid UTF-8.
        components: further numbers [B] per episode by name, such as `success` and `score`.
        sources_B: integer; 0 = ordinary rollout, 1 = control rollout (see `ControlRollouts`).
        prompt_logprobs_BP: log-probs of the first prompt's tokens under the old policy, NaN at
            padding (and for the very first token); only for algorithms with
            `reads_prompt_logprobs`.
        token_text: decodes one token id; None where the learner was given no tokenizer.
        index_B: place of each row in the update, set by `estimate_advantages`.
        step: updates made before this one, from 0.
        steps: updates of the whole run; 0 where the end is not known.
        stats: statistics [B, T] by name.
        notes: tensors with the axis B first that one slot leaves for later ones.  Those whose name
            begins with `metric/` are numbers [B] that the learner reports: their mean over the
            rows where they are not NaN.
        advantages_BT: set by the advantage slot; no gradient.
        value_targets_BT: what the value head regresses to, set by advantages that use one.
    """

    mask_BT: Tensor
    groups_B: Tensor
    episodes_B: Tensor
    returns_B: Tensor
    turns_BT: Tensor
    versions_BT: Tensor | None = None
    version: int | None = None
    rewards_BT: Tensor | None = None
    truncated_B: Tensor | None = None
    outcomes_B: Tensor | None = None
    ids_BT: Tensor | None = None
    spans_BT: Tensor | None = None
    given_BN: Tensor | None = None
    anchors_BT: Tensor | None = None
    observations_BT: Tensor | None = None
    answers_B: Tensor | None = None
    texts: tuple[str, ...] = ()
    invalid_BT: Tensor | None = None
    unreadable_B: Tensor | None = None
    components: dict[str, Tensor] = field(default_factory=dict)
    sources_B: Tensor | None = None
    prompt_logprobs_BP: Tensor | None = None
    token_text: Callable[[int], str] | None = None
    index_B: Tensor | None = None
    step: int = 0
    steps: int = 0
    stats: dict[Statistic, Tensor] = field(default_factory=dict)
    notes: dict[str, Tensor] = field(default_factory=dict)
    advantages_BT: Tensor | None = None
    value_targets_BT: Tensor | None = None

    @property
    def valid_BT(self) -> Tensor:
        """The mask as bool [B, T]."""
        return self.mask_BT > 0

    @property
    def progress(self) -> float:
        """Share of the run's updates made so far, in [0, 1]; 0 where the end is not known."""
        return min(self.step / self.steps, 1.0) if self.steps else 0.0

    def need(self, name: str) -> Any:
        """Return the field `name`.

        Raises:
            StatisticMissing: the rollout does not have it.
        """
        value = getattr(self, name)
        if value is None:
            raise StatisticMissing(
                f"The algorithm reads `{name}` of the batch, which this rollout does not have; "
                "use an environment that provides it, or another algorithm."
            )
        return value

    def component(self, name: str) -> Tensor:
        """Return a number [B] of the episodes; raises `StatisticMissing` without it."""
        if name not in self.components:
            have = ", ".join(sorted(self.components)) or "none"
            raise StatisticMissing(
                f"The algorithm reads `{name}` of each episode, which the environment does not "
                f"report (it reports: {have})."
            )
        return self.components[name]

    def stat(self, name: Statistic) -> Tensor:
        """Return a statistic.

        Raises:
            StatisticMissing: the learner was not asked to compute it.
        """
        try:
            return self.stats[name]
        except KeyError:
            have = ", ".join(sorted(map(str, self.stats))) or "none"
            raise StatisticMissing(
                f"The algorithm reads `{name}`, which was not computed (computed: {have}). "
                "The slot that reads it must list it in `requires`."
            ) from None

    @property
    def advantages(self) -> Tensor:
        """The advantages [B, T]; raises `StatisticMissing` before they are estimated."""
        if self.advantages_BT is None:
            raise StatisticMissing("Advantages were read before they were estimated.")
        return self.advantages_BT

    def keep(self, keep: Tensor) -> Batch:
        """Return a copy whose mask is also 0 where `keep` (bool, [B] or [B, T]) is False."""
        keep_BT = keep if keep.dim() == 2 else keep.unsqueeze(-1)
        return replace(self, mask_BT=self.mask_BT * keep_BT.to(self.mask_BT.dtype))

    def with_stats(self, stats: Mapping[Any, Tensor]) -> Batch:
        """Return a copy with more statistics."""
        return replace(self, stats={**self.stats, **stats})

    def with_notes(self, **notes: Tensor) -> Batch:
        """Return a copy with more notes."""
        return replace(self, notes={**self.notes, **notes})

    def clean(self) -> Batch:
        """Return a copy with zeros at the masked positions of every per-token tensor.

        Rows also get their `index_B` here, unless they have one.
        """
        valid_BT = self.valid_BT

        def zeroed(values_BT: Tensor | None) -> Tensor | None:
            return None if values_BT is None else masked.fill(values_BT, valid_BT)

        index_B = self.index_B
        if index_B is None:
            index_B = torch.arange(len(valid_BT), device=valid_BT.device)
        return replace(
            self,
            index_B=index_B,
            stats={name: masked.fill(values, valid_BT) for name, values in self.stats.items()},
            rewards_BT=zeroed(self.rewards_BT),
            advantages_BT=zeroed(self.advantages_BT),
            value_targets_BT=zeroed(self.value_targets_BT),
        )

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return a copy with `function` applied to every tensor."""
        changed: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                changed[item.name] = function(value)
            elif isinstance(value, dict):
                changed[item.name] = {key: function(tensor) for key, tensor in value.items()}
        return replace(self, **changed)

    def rows(self, index: Tensor) -> Batch:
        """Return the rows of `index` (integer or bool [B]), every tensor alike."""
        return self.mapped(lambda tensor: tensor[index])


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Counts of the whole optimiser batch, so that micro-batches and processes do not matter.

    Attributes:
        tokens: valid tokens, sum of the mask.
        sequences: rows with at least one valid token.
        length: the constant K that `seq-mean-token-sum-norm` divides by.
    """

    tokens: float
    sequences: float
    length: float

    @classmethod
    def of(cls, mask_BT: Tensor, length: float | None = None) -> Normaliser:
        """Count a batch; `length` defaults to the padded width T."""
        mask = mask_BT.to(torch.float64)
        return cls(
            tokens=float(mask.sum()),
            sequences=float((mask.sum(-1) > 0).sum()),
            length=float(mask.shape[-1] if length is None else length),
        )
