"""Which episodes of a group gave the same answer.

Votes, self-labelled rewards and semantic entropy all start from clusters of equal answers.  An
answer joins the first cluster whose *first* member it equals, so it is compared once per cluster
and the result does not depend on an equivalence being transitive.  The order of a group is that in
which its episodes were sampled (`Batch.index_B`).

Source: QingyangZhang/EMPO, `semantic_cluster` (verl-empo) and `get_semantic_ids_by_rule` (trl).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.episodes import counted_rows, episode_index
from agentrl.algorithms.rewards.clusters import Clusters, cluster
from agentrl.algorithms.timeline import timeline
from agentrl.errors import StatisticMissing

Equivalence = Callable[[str, str], bool]
"""Whether two answers mean the same; a function of a module, so that it can be pickled."""

KINDS = ("auto", "final", "actions")
"""What counts as an answer, see `AnswerClusters`."""

EMPTY = ("own", "together")
"""Where an episode without an answer goes, see `AnswerClusters`."""


def equal_text(one: str, other: str) -> bool:
    """Return whether two answers are the same text."""
    return one == other


def equal_number(one: str, other: str) -> bool:
    """Return whether two answers are the same number, or else the same text.

    Thousands commas, a dollar sign and surrounding spaces are dropped; `1/2` equals `0.5`.
    """
    first, second = _number(one), _number(other)
    return one.strip() == other.strip() if first is None else first == second


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text.strip().strip("$").replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None


EQUIVALENCES: dict[str, Equivalence] = {"text": equal_text, "number": equal_number}
"""Equivalences by the name that settings use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerClusters:
    """How answers are read and compared.

    Attributes:
        answers: `final` reads the final answer that the environment reports; `actions` takes the
            sampled token ids of the whole episode, so that equal transcripts are equal answers;
            `auto` is `final` where any episode of the update has one, else `actions`.
        equivalence: `text`, `number`, or a function of two answers; final answers only.
        empty: an episode without an answer, or with an empty one, is a cluster of its `own`, or
            all of them are one cluster, `together`.
    """

    answers: str = "auto"
    equivalence: str | Equivalence = "text"
    empty: str = "own"

    def __post_init__(self) -> None:
        one_of("answers", self.answers, KINDS)
        one_of("empty_answers", self.empty, EMPTY)
        if not callable(self.equivalence):
            one_of("equivalence", self.equivalence, tuple(EQUIVALENCES))

    def __call__(self, batch: Batch) -> Clusters:
        """Return the clusters.

        Raises:
            StatisticMissing: there are no answers of the kind asked for.
        """
        episode_B, count = episode_index(batch)
        answers, texts = self._read(batch, episode_B.tolist(), count)
        groups = _members(batch, episode_B)
        table = torch.zeros(5, count, dtype=torch.float64)
        table[0] = -1
        for members in groups:
            self._enter(table, members, answers, texts)
        rows = table.to(episode_B.device)[:, episode_B]
        return Clusters(
            cluster_B=rows[0].long(),
            size_B=rows[1],
            count_B=rows[2],
            place_B=rows[3].long(),
            empty_B=rows[4] > 0,
            groups_B=batch.groups_B,
            first_B=counted_rows(batch),
        )

    def _enter(
        self, table: Tensor, members: list[int], answers: Sequence[Hashable], texts: bool
    ) -> None:
        """Write the columns of a group's episodes: cluster, size, count, place, empty."""
        given = [answers[episode] for episode in members]
        if self.empty == "own":
            given = [answer or None for answer in given]
        found = cluster(given, self._same if texts else _equal)
        for place, (episode, number) in enumerate(zip(members, found, strict=True)):
            empty = float(not answers[episode])
            row = [float(number), float(found.count(number)), float(len(members)), place, empty]
            table[:, episode] = torch.tensor(row, dtype=torch.float64)

    def _same(self, one: str, other: str) -> bool:
        if not one or not other:
            return one == other
        compare = self.equivalence
        return (EQUIVALENCES[compare] if isinstance(compare, str) else compare)(one, other)

    def _read(
        self, batch: Batch, episodes: list[int], count: int
    ) -> tuple[Sequence[Hashable], bool]:
        """Return the answer of each episode, empty where there is none, and whether it is text."""
        given = batch.answers_B is not None and bool((batch.answers_B >= 0).any())
        if self.answers == "actions" or (self.answers == "auto" and not given):
            return _actions(batch), False
        if not given and batch.valid_BT.any():
            raise StatisticMissing(
                "The algorithm compares final answers, but no episode of this update has one: "
                "the environment does not report `final_answer` in its `info`, or the policy "
                'never gave one. Use `answers="actions"` to compare the sampled tokens instead.'
            )
        found = [""] * count
        numbers = batch.answers_B.tolist() if batch.answers_B is not None else []
        for episode, number in zip(episodes, numbers, strict=False):
            found[episode] = batch.texts[number] if number >= 0 else ""
        return found, True


def _equal(one: Hashable, other: Hashable) -> bool:
    return one == other


def _actions(batch: Batch) -> list[Hashable]:
    """Return the sampled token ids of each episode, in order of time."""
    ids_BT: Tensor = batch.need("ids_BT")
    line = timeline(batch)
    ids_EL = line.gather(ids_BT)
    rows = zip(ids_EL.tolist(), line.present_EL.sum(-1).tolist(), strict=True)
    return [tuple(ids[:length]) for ids, length in rows]


def _members(batch: Batch, episode_B: Tensor) -> Iterator[list[int]]:
    """Yield the counted episodes of each group, in the order they were sampled."""
    live = batch.valid_BT.any(-1).tolist()
    index_B = torch.arange(len(live)) if batch.index_B is None else batch.index_B.cpu()
    groups, episodes = batch.groups_B.tolist(), episode_B.tolist()
    found: dict[int, dict[int, None]] = {}
    for row in torch.argsort(index_B).tolist():
        if live[row]:
            found.setdefault(groups[row], {})[episodes[row]] = None
    yield from (list(members) for members in found.values())
