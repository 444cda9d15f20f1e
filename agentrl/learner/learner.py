"""The learner: a forest in, better weights out."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from agentrl.algorithms import (
    Algorithm,
    Batch,
    Metric,
    Normaliser,
    Stat,
    controllers,
    estimate_advantages,
    metrics,
    policy_loss,
    prepare,
)
from agentrl.errors import ConfigError
from agentrl.learner.compatibility import check_model, enable_checkpointing
from agentrl.learner.forward import forward, forward_frozen
from agentrl.learner.old_policy import COPY_OF, computed_before, with_copies
from agentrl.learner.optimizer import Optimizer
from agentrl.learner.packing import MicroBatch, lay_out, plan, split_by_tree
from agentrl.learner.reports import merge, mismatch, sizes
from agentrl.learner.rows import Rows, rows
from agentrl.learner.settings import LearnerSettings
from agentrl.models.attention import install
from agentrl.tree import Forest


class Learner:
    """Trains a causal LM on forests with an algorithm.

    Loss and gradient of an update do not depend on `microbatch_tokens`, on the order of the trees
    or on padding, beyond rounding.  With one thread on one machine everything repeats bit for bit.

    Attributes:
        model: the trained model; AgentRL's attention is installed on it.
        algorithm: as given; controllers make each update's own copy of it.
        settings: of the optimisation.
    """

    def __init__(
        self,
        model: nn.Module,
        algorithm: Algorithm,
        settings: LearnerSettings | None = None,
        *,
        temperature: float = 1.0,
        total_steps: int = 0,
        max_row_tokens: int | None = None,
        reference: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        """Prepare training.

        Args:
            model: a Hugging Face causal LM without active dropout.
            algorithm: what to optimise.
            settings: of the optimisation.
            temperature: sampling temperature of the rollouts; all log-probs and entropies of
                `update` are those of the tempered distribution, comparable with the engine's.
            total_steps: optimiser steps after which a decaying schedule reaches 0.
            max_row_tokens: most tokens that can be sampled in one row, the constant K of
                `seq-mean-token-sum-norm`; by default the longest row of each rollout.
            reference: frozen policy for algorithms that read `REF_LOGPROBS`; by default a copy of
                the model as it is at the first update.
            seed: of the order of tasks where `updates_per_step` is above 1, and of slots that
                draw.

        Raises:
            ConfigError: a wrong setting, or a model the tree forward pass cannot reproduce.
        """
        self.settings = settings or LearnerSettings()
        _check(self.settings, temperature, total_steps)
        check_model(model)
        install(model)
        self.model = model
        self.algorithm = algorithm
        self._temperature = temperature
        self._max_row_tokens = max_row_tokens
        self._reference = None if reference is None else _freeze(reference)
        self._owns_reference = False
        self._controllers = controllers.start(algorithm)
        weight: Tensor = model.get_output_embeddings().weight  # type: ignore[operator]
        self._device = weight.device
        self._order = torch.Generator().manual_seed(seed)
        self._draws = torch.Generator(self._device).manual_seed(seed)
        self._value_head = self._make_value_head(weight)
        self._optimizer = Optimizer(self._parameters(), self.settings, total_steps)
        self._imitation: Optimizer | None = None
        if self.settings.gradient_checkpointing:
            enable_checkpointing(model)

    @property
    def steps(self) -> int:
        """Optimiser steps of reinforcement learning made so far."""
        return self._optimizer.steps

    def update(self, forest: Forest) -> dict[str, float]:
        """Learn from one rollout.

        Args:
            forest: what was sampled; failed episodes are ignored.

        Returns:
            Metrics of the algorithm and: `grad_norm`, `learning_rate`, `updates` made, `skipped`
            ones, `rows`, `tokens/trained`, `tokens/unique` and `tokens/separate` (forwarded, and
            what that would have been without sharing), `entropy`, `mismatch/mean` and
            `mismatch/max` (absolute difference between the log-probs of engine and learner before
            the first optimiser step, nats), `seconds`.

        Raises:
            TrainingDiverged: too many updates in a row were not finite.
        """
        start = time.perf_counter()
        self._imitation = None  # its moments are not needed any more
        algorithm = controllers.apply(self._controllers, self.algorithm)
        found = rows(forest)
        if not found.rows:
            return {"rows": 0.0, "updates": 0.0, "seconds": time.perf_counter() - start}
        self.model.train(self.settings.gradient_checkpointing)
        batch = _to(found.batch, self._device)
        batch = batch.with_stats(self._before(algorithm, found, batch))
        batch = estimate_advantages(algorithm, batch)
        reports = [
            self._step(algorithm, found, batch, part, first=number == 0)
            for number, part in enumerate(self._optimizer_batches(found, batch))
        ]
        self.model.eval()
        report = merge(reports)
        report["rows"] = float(len(found.rows))
        if "entropy" not in report and Stat.OLD_ENTROPY in batch.stats:
            entropy = Metric.mean(batch.stats[Stat.OLD_ENTROPY], batch.valid_BT)
            report |= metrics.report({"entropy": entropy})
        episodes = len(set(found.batch.episodes_B.tolist()))
        if report["updates"]:
            controllers.observe(self._controllers, report, episodes)
        return report | {"seconds": time.perf_counter() - start}

    def supervised(self, forest: Forest, *, learning_rate: float | None = None) -> dict[str, float]:
        """Imitate: one step of cross-entropy on the model tokens of all counted episodes.

        The loss is the mean over the tokens of all rows at temperature 1.  Imitation has its own
        AdamW moments and does not advance the learning-rate schedule.

        Args:
            forest: expert episodes; their log-probs are not read.
            learning_rate: of this step; by default the setting.

        Returns:
            `loss` in nats per token, `accuracy` of greedy prediction, `grad_norm`,
            `learning_rate`, `skipped`, `tokens/trained`, `tokens/unique`, `tokens/separate`,
            `seconds`.
        """
        start = time.perf_counter()
        if self._imitation is None:
            self._imitation = Optimizer(self._parameters(), self.settings)
        found = rows(forest)
        if not found.rows:
            return {"rows": 0.0, "seconds": time.perf_counter() - start}
        self.model.train(self.settings.gradient_checkpointing)
        batch = _to(found.batch, self._device)
        parts = []
        for micro in self._micro_batches(found, range(len(found.rows))):
            stats, predictions = forward(self.model, micro, ())
            valid_BT = batch.valid_BT[micro.rows_B]
            losses_BT = torch.where(valid_BT, -stats[Stat.LOGPROBS], 0.0)
            loss = losses_BT.sum() / batch.mask_BT.sum()
            loss.backward()  # type: ignore[no-untyped-call]
            hits_BT = predictions.greedy_M[micro.gather_BT]
            accuracy = {"accuracy": Metric.share(hits_BT, valid_BT), "loss": Metric.sum(loss)}
            parts.append(accuracy | sizes(micro, valid_BT))
        self.model.eval()
        merged = metrics.combine(parts)
        result = metrics.report(merged)
        rate = self.settings.learning_rate if learning_rate is None else learning_rate
        result |= self._imitation.step(merged["loss"].total, learning_rate=rate)
        return result | {"seconds": time.perf_counter() - start}

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs besides the model's weights.

        A reference policy copied by the learner is included, one given to it is not.
        """
        return {
            "optimizer": self._optimizer.state_dict(),
            "imitation": None if self._imitation is None else self._imitation.state_dict(),
            "controllers": [controller.state_dict() for controller in self._controllers],
            "generators": [self._order.get_state(), self._draws.get_state()],
            "value_head": None if self._value_head is None else self._value_head.state_dict(),
            "reference": self._reference.state_dict()
            if self._reference is not None and self._owns_reference
            else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, on a learner with the same settings."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._imitation = None
        if state["imitation"] is not None:
            self._imitation = Optimizer(self._parameters(), self.settings)
            self._imitation.load_state_dict(state["imitation"])
        for controller, saved in zip(self._controllers, state["controllers"], strict=True):
            controller.load_state_dict(saved)
        for generator, saved in zip((self._order, self._draws), state["generators"], strict=True):
            generator.set_state(saved.cpu())
        if self._value_head is not None:
            self._value_head.load_state_dict(state["value_head"])
        if state["reference"] is not None:
            self._copy_reference().load_state_dict(state["reference"])

    def _parameters(self) -> list[nn.Parameter]:
        own = [] if self._value_head is None else list(self._value_head.parameters())
        return [*self.model.parameters(), *own]

    def _make_value_head(self, like: Tensor) -> nn.Module | None:
        if not self.algorithm.requires & {Stat.VALUES, Stat.OLD_VALUES}:
            return None
        head = nn.Linear(like.shape[1], 1, device=like.device, dtype=like.dtype)
        nn.init.zeros_(head.weight)  # values start at 0, whatever the seed
        nn.init.zeros_(head.bias)
        return head

    def _copy_reference(self) -> nn.Module:
        self._reference = _freeze(copy.deepcopy(self.model))
        self._owns_reference = True
        return self._reference

    def _micro_batches(self, found: Rows, chosen: Sequence[int]) -> Iterator[MicroBatch]:
        width = found.batch.mask_BT.shape[1]
        for part in plan(found, chosen, self.settings.microbatch_tokens):
            yield lay_out(found, part, width, self._device)

    def _before(self, algorithm: Algorithm, found: Rows, batch: Batch) -> dict[Stat, Tensor]:
        """Compute the statistics that do not change during the update, [B, T]."""
        everything = range(len(found.rows))
        stats: dict[Stat, Tensor] = {}
        old = computed_before(algorithm, batch, self.settings.updates_per_step)
        if old:
            wanted = {COPY_OF[stat] for stat in old}
            current = self._frozen_stats(self.model, found, everything, wanted)
            stats |= {stat: current[COPY_OF[stat]] for stat in old}
        if Stat.REF_LOGPROBS in algorithm.requires:
            model = self._reference if self._reference is not None else self._copy_reference()
            reference = self._frozen_stats(model, found, everything, ())
            stats[Stat.REF_LOGPROBS] = reference[Stat.LOGPROBS]
        return stats

    def _frozen_stats(
        self, model: nn.Module, found: Rows, chosen: Sequence[int], wanted: Collection[Stat]
    ) -> dict[Stat, Tensor]:
        """Compute statistics without gradient; rows that are not chosen stay 0."""
        stats: dict[Stat, Tensor] = {}
        for micro in self._micro_batches(found, chosen):
            part = forward_frozen(
                model, micro, wanted, temperature=self._temperature, value_head=self._value_head
            )
            for name, values_BT in part.items():
                whole = stats.setdefault(name, values_BT.new_zeros(found.batch.mask_BT.shape))
                whole[micro.rows_B] = values_BT
        return stats

    def _optimizer_batches(self, found: Rows, batch: Batch) -> list[list[int]]:
        alive = batch.valid_BT.any(-1).tolist()
        chosen = [index for index, learns in enumerate(alive) if learns]
        return split_by_tree(found, chosen, self.settings.updates_per_step, self._order)

    def _step(
        self, algorithm: Algorithm, found: Rows, batch: Batch, chosen: list[int], *, first: bool
    ) -> dict[str, float]:
        """Make one optimiser step on some rows."""
        whole = batch.rows(torch.tensor(chosen, device=self._device))
        normaliser = Normaliser.of(whole.mask_BT, self._max_row_tokens)
        prepared = self._prepare(algorithm, found, whole, chosen)
        parts, worst = [], 0.0
        for micro in self._micro_batches(found, chosen):
            part = self._with_current(algorithm, micro, batch)
            loss = policy_loss(
                algorithm, part, normaliser, generator=self._draws, prepared=prepared
            )
            loss.value.backward()  # type: ignore[no-untyped-call]
            parts.append(loss.metrics | sizes(micro, part.valid_BT))
            if first:
                gap_BT = mismatch(part)
                parts.append({"mismatch/mean": Metric.mean(gap_BT, part.valid_BT)})
                worst = max(worst, float(gap_BT.max()))
        merged = metrics.combine(parts)
        report = metrics.report(merged)
        if first:
            report["mismatch/max"] = worst
        return report | self._optimizer.step(merged["loss"].total)

    def _prepare(
        self, algorithm: Algorithm, found: Rows, whole: Batch, chosen: list[int]
    ) -> dict[object, Any]:
        """Compute what slots need to know about the whole optimiser batch."""
        wanted = {stat for stat in algorithm.prepare_requires if stat.current}
        if wanted:
            stats = self._frozen_stats(self.model, found, chosen, wanted)
            whole = whole.with_stats({name: values[chosen] for name, values in stats.items()})
        return prepare(algorithm, with_copies(algorithm, whole))

    def _with_current(self, algorithm: Algorithm, micro: MicroBatch, batch: Batch) -> Batch:
        """Return the rows of a micro-batch with the statistics of the current weights."""
        wanted = {stat for stat in algorithm.requires if stat.current}
        if Stat.OLD_ENTROPY not in batch.stats:
            wanted.add(Stat.ENTROPY)  # to copy it, and for the metrics
        stats, _ = forward(
            self.model,
            micro,
            wanted,
            temperature=self._temperature,
            value_head=self._value_head,
        )
        return with_copies(algorithm, batch.rows(micro.rows_B).with_stats(stats))


def _check(settings: LearnerSettings, temperature: float, total_steps: int) -> None:
    if not temperature > 0:
        raise ConfigError(
            f"`rollout.temperature` is {temperature}; training needs a temperature > 0, because a "
            "greedy rollout explores nothing and has no log-probs to compare with."
        )
    if settings.schedule != "constant" and total_steps <= settings.warmup_steps:
        raise ConfigError(
            f"`learner.schedule` is {settings.schedule!r} over {total_steps} optimiser steps, but "
            f"`learner.warmup_steps` is {settings.warmup_steps}; make the run longer (`steps`), "
            "the warm-up shorter, or the schedule constant."
        )


def _freeze(model: nn.Module) -> nn.Module:
    install(model)
    return model.eval().requires_grad_(False)


def _to(batch: Batch, device: torch.device) -> Batch:
    moved = {
        item.name: value.to(device)
        for item in fields(batch)
        if isinstance(value := getattr(batch, item.name), Tensor)
    }
    stats = {name: value.to(device) for name, value in batch.stats.items()}
    return replace(batch, stats=stats, **moved)
