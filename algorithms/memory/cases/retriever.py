"""The learned retriever: how probable is success if this case is shown for this task?

Source: Memento / AgentFly; Agent-on-the-Fly/Memento:memory/train_memory_retriever.py and
memory/parametric_memory.py.  There a text encoder is trained along; here the embedder stays as it
is and only the network on top of it learns, with a learning rate that suits that.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agentrl.algorithms.checks import in_range
from agentrl.algorithms.memory.cases.embedding import Embedder, unit
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Pair:
    """One case that was shown for one task.

    Attributes:
        task: text of the task.
        case: `Case.text` of what was shown.
        success: the episode succeeded.
    """

    task: str
    case: str
    success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverSettings:
    """How the network is made and trained.

    Attributes:
        hidden: width of its one hidden layer.
        dropout: share of hidden units left out in training.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        warmup: share of the steps in which the rate rises to its value; then it falls to 0.
        batch_size: pairs per step.
        epochs: passes over the pairs.
        validation: share of each label that is set aside to choose the best epoch.
        seed: of everything random.
    """

    hidden: int = 512
    dropout: float = 0.2
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    batch_size: int = 32
    epochs: int = 10
    validation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        in_range("retriever.hidden", self.hidden, 1)
        in_range("retriever.dropout", self.dropout, 0, 0.99)
        in_range("retriever.learning_rate", self.learning_rate, 0, open_low=True)
        in_range("retriever.weight_decay", self.weight_decay, 0)
        in_range("retriever.warmup", self.warmup, 0, 1)
        in_range("retriever.batch_size", self.batch_size, 1)
        in_range("retriever.epochs", self.epochs, 1)
        in_range("retriever.validation", self.validation, 0, 0.5)


class Retriever(nn.Module):
    """Q(task, case): two logits from both vectors side by side.

    Args:
        dimensions: D, length of the embedder's vectors.
        settings: width and dropout.
    """

    def __init__(self, dimensions: int, settings: RetrieverSettings) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * dimensions, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, 2),
        )

    def forward(self, tasks_ND: Tensor, cases_ND: Tensor) -> Tensor:
        """Return logits [N, 2] of failure and success."""
        logits: Tensor = self.layers(torch.cat([unit(tasks_ND), unit(cases_ND)], dim=-1))
        return logits

    @torch.no_grad()
    def score(self, task_D: Tensor, cases_ND: Tensor) -> Tensor:
        """Return Q [N] of every case for one task, in evaluation mode."""
        self.eval()
        tasks_ND = task_D.expand(len(cases_ND), -1)
        logits: Tensor = self(tasks_ND, cases_ND)
        return logits.softmax(-1)[:, 1]


def stratified_split(
    labels: Sequence[bool | int], validation: float, seed: int
) -> tuple[list[int], list[int]]:
    """Return the places of training and validation pairs.

    Of either label the share `validation`, rounded down but at least one, is set aside.
    """
    source = random.Random(seed)
    train: list[int] = []
    aside: list[int] = []
    sides = [
        [at for at, label in enumerate(labels) if bool(label) is side] for side in (True, False)
    ]
    for side in sides:
        source.shuffle(side)
    for side in sides:
        count = max(1, int(len(side) * validation))
        aside += side[:count]
        train += side[count:]
    source.shuffle(train)
    source.shuffle(aside)
    if not train and len(aside) > 1:
        train, aside = aside[1:], aside[:1]
    return train, aside


def area_under_curve(scores_N: Tensor, labels_N: Tensor) -> float:
    """Return how often a success scores above a failure, ties half; NaN without one of them."""
    positive, negative = scores_N[labels_N], scores_N[~labels_N]
    if not len(positive) or not len(negative):
        return math.nan
    above = (positive.unsqueeze(-1) > negative).double()
    equal = (positive.unsqueeze(-1) == negative).double()
    return float((above + equal / 2).mean())


@dataclass(frozen=True, slots=True)
class Trained:
    """A network and how it was chosen.

    Attributes:
        retriever: of the epoch with the highest validation AUC, the earliest of several.
        curve: validation AUC by epoch.
    """

    retriever: Retriever
    curve: tuple[float, ...]


def train(pairs: Sequence[Pair], embedder: Embedder, settings: RetrieverSettings) -> Trained:
    """Train a new network: cross entropy, successes weighted max(1, failures / successes).

    The state of torch's own random generator is left as it was.

    Raises:
        ConfigError: fewer than two pairs of either label.
    """
    labels_N = torch.tensor([pair.success for pair in pairs], dtype=torch.bool)
    if labels_N.sum() < 2 or (~labels_N).sum() < 2:
        raise ConfigError(
            f"the retriever needs two successes and two failures at least; there are "
            f"{int(labels_N.sum())} and {int((~labels_N).sum())}. Record more episodes first."
        )
    tasks_ND = embedder.embed([pair.task for pair in pairs])
    cases_ND = embedder.embed([pair.case for pair in pairs])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return _Training(tasks_ND, cases_ND, labels_N, settings).run()


class _Training:
    """One run over embedded pairs."""

    def __init__(
        self, tasks_ND: Tensor, cases_ND: Tensor, labels_N: Tensor, settings: RetrieverSettings
    ) -> None:
        self.tasks_ND, self.cases_ND, self.labels_N = tasks_ND, cases_ND, labels_N
        self.settings = settings
        flags: list[bool] = labels_N.tolist()
        train, aside = stratified_split(flags, settings.validation, settings.seed)
        self.train_M, self.aside_M = torch.tensor(train), torch.tensor(aside)
        self.retriever = Retriever(tasks_ND.shape[-1], settings)
        self.optimizer = torch.optim.AdamW(
            self.retriever.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.steps = math.ceil(len(train) / settings.batch_size) * settings.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        successes = int(labels_N[self.train_M].sum())
        weight = max(1.0, (len(train) - successes) / successes)
        self.loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, weight]))

    def run(self) -> Trained:
        """Train all epochs; return the best."""
        best, kept, curve = -math.inf, self.retriever, []
        for _ in range(self.settings.epochs):
            self._epoch()
            curve.append(self._validate())
            if curve[-1] > best:
                best, kept = curve[-1], copy.deepcopy(self.retriever)
        return Trained(kept.eval(), tuple(curve))

    def _rate(self, step: int) -> float:
        rising = int(self.steps * self.settings.warmup)
        if step < rising:
            return step / rising
        return max(0.0, (self.steps - step) / max(1, self.steps - rising))

    def _epoch(self) -> None:
        self.retriever.train()
        order_M = self.train_M[torch.randperm(len(self.train_M))]
        size = self.settings.batch_size
        for start in range(0, len(order_M), size):
            index = order_M[start : start + size]
            logits = self.retriever(self.tasks_ND[index], self.cases_ND[index])
            self.optimizer.zero_grad()
            self.loss(logits, self.labels_N[index].long()).backward()
            nn.utils.clip_grad_norm_(self.retriever.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()

    @torch.no_grad()
    def _validate(self) -> float:
        self.retriever.eval()
        logits = self.retriever(self.tasks_ND[self.aside_M], self.cases_ND[self.aside_M])
        return area_under_curve(logits.softmax(-1)[:, 1], self.labels_N[self.aside_M])
