"""The case bank: kept episodes, searched by similarity or by a learned retriever.

Source: Memento / AgentFly; Agent-on-the-Fly/Memento:memory/np_memory.py, parametric_memory.py,
client/no_parametric_cbr.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.memory.cases import file
from agentrl.algorithms.memory.cases.case import Case, Found
from agentrl.algorithms.memory.cases.embedding import Embedder, HashingEmbedder, best, unit
from agentrl.algorithms.memory.cases.retriever import (
    Pair,
    Retriever,
    RetrieverSettings,
    Trained,
    train,
)
from agentrl.errors import ConfigError, DataError

MODES = ("similarity", "learned")


class CaseBank:
    """Cases, oldest first.

    Args:
        embedder: makes vectors of tasks (and of cases, for the learned retriever).
        max_cases: the oldest are dropped beyond it; None keeps all.
        distinct: a case with the task and plan of an older one replaces it.
        success_at: rewards from here on count as success.
        path: JSON lines that every new case is appended to; cases there already are read.
        retriever: settings of the learned retriever.
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        *,
        max_cases: int | None = None,
        distinct: bool = False,
        success_at: float = 1.0,
        path: str | os.PathLike[str] | None = None,
        retriever: RetrieverSettings | None = None,
    ) -> None:
        if max_cases is not None:
            in_range("max_cases", max_cases, 1)
        self.embedder = HashingEmbedder() if embedder is None else embedder
        self.max_cases = max_cases
        self.distinct = distinct
        self.success_at = success_at
        self.settings = retriever or RetrieverSettings()
        self.retriever: Retriever | None = None
        self.pairs: list[Pair] = []
        self._cases: list[Case] = []
        self._vectors: dict[str, Tensor] = {}
        self._path = None if path is None else Path(path)
        if self._path is not None and self._path.exists():
            for case in file.read(self._path):
                self._keep(case)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, oldest first."""
        return tuple(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, case: Case) -> None:
        """Keep a case, and append it to the file."""
        self._keep(case)
        if self._path is not None:
            file.append(self._path, case)

    def retrieve(self, task: str, k: int = 4, mode: str = "similarity") -> list[Found]:
        """Return the k best cases for a task, best first; fewer where there are fewer.

        Args:
            task: text of the task.
            k: how many.
            mode: `similarity` of the tasks, or `learned`: the retriever reads task and case.

        Raises:
            ConfigError: mode `learned` before `fit`.
        """
        in_range("k", k, 1)
        one_of("mode", mode, MODES)
        if mode == "learned" and self.retriever is None:
            raise ConfigError(
                "the retriever is not trained; call `fit`, or retrieve with mode `similarity`."
            )
        if not self._cases:
            return []
        scores_N = self._learned(task) if mode == "learned" else self._similarity(task)
        return [
            Found(case := self._cases[at], float(scores_N[at]), case.reward >= self.success_at, at)
            for at in best(scores_N, k)
        ]

    def record(self, task: str, shown: Sequence[Found], reward: float) -> None:
        """Keep what was shown for an episode and how it ended, to train the retriever from."""
        success = reward >= self.success_at
        self.pairs += [Pair(task, found.case.text, success) for found in shown]

    def fit(self) -> Trained:
        """Train the retriever anew from all recorded pairs; `retrieve` uses it from then on.

        Raises:
            ConfigError: fewer than two pairs of either outcome.
        """
        trained = train(self.pairs, self.embedder, self.settings)
        self.retriever = trained.retriever
        return trained

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write all cases in one step, by default to the bank's own file.

        Unlike the appended file this holds no dropped or replaced cases.
        """
        target = self._path if path is None else Path(path)
        if target is None:
            raise ConfigError("the bank has no file; give `save` a path.")
        file.write(target, self._cases)

    def state_dict(self) -> dict[str, Any]:
        """Return cases and pairs as JSON values, and the retriever's tensors."""
        return {
            "cases": [asdict(case) for case in self._cases],
            "pairs": [asdict(pair) for pair in self.pairs],
            "retriever": None if self.retriever is None else self.retriever.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; a file is brought in line with it.

        Raises:
            DataError: the retriever belongs to another embedder or other settings.
        """
        retriever = None
        if state["retriever"] is not None:
            retriever = Retriever(self.embedder.dimensions, self.settings)
            try:
                retriever.load_state_dict(state["retriever"])
            except RuntimeError as error:
                raise DataError(f"the retriever does not fit this bank: {error}") from error
            retriever.eval()
        self._cases = [file.case_of(values) for values in state["cases"]]
        self.pairs = [Pair(**values) for values in state["pairs"]]
        self.retriever = retriever
        if self._path is not None:
            self.save()

    def _keep(self, case: Case) -> None:
        if self.distinct:
            self._cases = [
                kept for kept in self._cases if (kept.task, kept.plan) != (case.task, case.plan)
            ]
        self._cases.append(case)
        if self.max_cases is not None:
            del self._cases[: -self.max_cases]

    def _similarity(self, task: str) -> Tensor:
        keys_ND = self._embedded([case.task for case in self._cases])
        weights_D = self.embedder.weights(keys_ND)
        task_D = self.embedder.embed([task])[0]
        return unit(keys_ND * weights_D) @ unit(task_D * weights_D)

    def _learned(self, task: str) -> Tensor:
        assert self.retriever is not None
        cases_ND = self._embedded([case.text for case in self._cases])
        return self.retriever.score(self.embedder.embed([task])[0], cases_ND)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts; those of cases seen before are not made again."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self.embedder.embed(new), strict=True))
        if len(self._vectors) > 4 * len(texts) + 64:  # cases were dropped
            self._vectors = {text: self._vectors[text] for text in texts}
        return torch.stack([self._vectors[text] for text in texts])
