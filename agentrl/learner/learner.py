"""The learner: a forest in, better weights out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
from agentrl.learner.forward import forward
from agentrl.learner.measure import Measure
from agentrl.learner.mismatch import MismatchReport, comparable
from agentrl.learner.old_policy import with_copies
from agentrl.learner.optimizer import Optimizer
from agentrl.learner.packing import split_by_tree
from agentrl.learner.replay import Replayed, RowReplay, scalars
from agentrl.learner.reports import merge, sizes
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
        total_updates: int = 0,
        token_text: Callable[[int], str] | None = None,
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
            reference: frozen policy for algorithms that read `REF_LOGPROBS`; by default the model
                as it is at the first update: a copy of it, or of its adapters where it has some.
            total_updates: updates of the whole run, for schedules of the algorithm; 0 if unknown.
            token_text: decodes one token id, for algorithms that look for words.
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
        self._max_row_tokens = max_row_tokens
        self._total_updates = total_updates
        self._token_text = token_text
        self._updates = 0
        self._controllers = controllers.start(algorithm)
        weight: Tensor = model.get_output_embeddings().weight  # type: ignore[operator]
        self._device = weight.device
        self._order = torch.Generator().manual_seed(seed)
        self._draws = torch.Generator(self._device).manual_seed(seed)
        self._value_head = self._make_value_head(weight)
        self._measure = Measure(
            model,
            self._value_head,
            reference,
            temperature=temperature,
            microbatch_tokens=self.settings.microbatch_tokens,
            updates_per_step=self.settings.updates_per_step,
        )
        self._optimizer = Optimizer(self._parameters(), self.settings, total_steps)
        self._imitation: Optimizer | None = None
        self._replay = None if algorithm.replay is None else RowReplay(algorithm.replay)
        if self.settings.gradient_checkpointing:
            enable_checkpointing(model)

    @property
    def steps(self) -> int:
        """Optimiser steps of reinforcement learning made so far."""
        return self._optimizer.steps

    def update(self, forest: Forest, *, version: int | None = None) -> dict[str, float]:
        """Learn from one rollout.

        Args:
            forest: what was sampled; failed episodes are ignored.
            version: of the weights as they are now, in the engine's count; tokens of other
                versions are *stale*.  None takes all tokens for fresh ones.

        Returns:
            Metrics of the algorithm and: `grad_norm`, `learning_rate`, `updates` made, `skipped`
            ones, `rows`, `tokens/trained`, `tokens/unique` and `tokens/separate` (forwarded, and
            what that would have been without sharing), `entropy`, `mismatch/...` (see
            `MismatchReport`), `seconds`.  With `Algorithm.replay` also `replay/...`: `rows` trained
            again, their `loss` before the factor `weight`, `tokens`, `updates` made on them (the
            schedule does not count these), rows now `stored` and `useful`, and the `baseline`.

        Raises:
            TrainingDiverged: too many updates in a row were not finite.
        """
        start = time.perf_counter()
        self._imitation = None  # its moments are not needed any more
        found = rows(forest)
        if not found.rows:
            self._updates += 1
            return {"rows": 0.0, "updates": 0.0, "seconds": time.perf_counter() - start}
        self.model.train(self.settings.gradient_checkpointing)
        algorithm, batch = self._estimate(found, version)
        replayed = None
        if self._replay is not None:
            replayed = self._replay.select(self._updates, self._order)
        report = self._learn(algorithm, found, batch, self._optimizer_batches(found, batch))
        if self._replay is not None:
            report |= self._learn_again(algorithm, replayed) | self._replay.store(found, batch)
        self.model.eval()
        report["rows"] = float(len(found.rows))
        report |= metrics.report(metrics.noted(batch.notes))
        if "entropy" not in report and Stat.OLD_ENTROPY in batch.stats:
            entropy = Metric.mean(batch.stats[Stat.OLD_ENTROPY], batch.valid_BT)
            report |= metrics.report({"entropy": entropy})
        if report["updates"]:
            controllers.observe(self._controllers, report, batch)
        self._updates += 1
        return report | {"seconds": time.perf_counter() - start}

    def current_algorithm(self) -> Algorithm:
        """Return the algorithm as the controllers have it for the next update."""
        return controllers.apply(self._controllers, self.algorithm)

    def _estimate(self, found: Rows, version: int | None) -> tuple[Algorithm, Batch]:
        """Return the algorithm of this update, and the batch with advantages."""
        batch = found.batch.mapped(lambda tensor: tensor.to(self._device))
        batch.step, batch.steps, batch.version = self._updates, self._total_updates, version
        batch.token_text = self._token_text
        also = controllers.requires(self._controllers)
        batch = self._measure.before(self.current_algorithm(), found, batch, also)
        controllers.see(self._controllers, batch)
        algorithm = self.current_algorithm()
        return algorithm, estimate_advantages(algorithm, batch)

    def _learn(
        self,
        algorithm: Algorithm,
        found: Rows,
        batch: Batch,
        parts: list[list[int]],
        replay_weight: float | None = None,
    ) -> dict[str, float]:
        """Make the optimiser steps of one update and return their merged report."""
        prepared = None
        if algorithm.stat_scope == "update":
            chosen = [index for part in parts for index in part]
            prepared = self._prepare(algorithm, found, batch, chosen)
        reports = [
            self._step(algorithm, found, batch, part, prepared, replay_weight, first=number == 0)
            for number, part in enumerate(parts)
        ]
        return merge(reports)

    def _learn_again(self, algorithm: Algorithm, replayed: Replayed | None) -> dict[str, float]:
        """Make the optimiser steps on replayed rows, if any, and return their report."""
        if replayed is None:
            return {"replay/rows": 0.0}
        batch = replayed.rows.batch.mapped(lambda tensor: tensor.to(self._device))
        batch.steps, batch.token_text = self._total_updates, self._token_text
        loss = algorithm.replay.loss(algorithm)
        report = self._learn(loss, replayed.rows, batch, replayed.parts, replayed.weight)
        counts = {"replay/rows": float(len(replayed.rows.rows)), "replay/weight": replayed.weight}
        return counts | scalars(report)

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
        batch = found.batch.mapped(lambda tensor: tensor.to(self._device))
        parts = []
        for micro in self._measure.micro_batches(found, range(len(found.rows))):
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
            "reference": self._measure.reference.state_dict(),
            "replay": None if self._replay is None else self._replay.state_dict(),
            "updates": self._updates,
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
            self._measure.reference.load_state_dict(state["reference"])
        if self._replay is not None:
            self._replay.load_state_dict(state["replay"])
        self._updates = state["updates"]

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

    def _optimizer_batches(self, found: Rows, batch: Batch) -> list[list[int]]:
        alive = batch.valid_BT.any(-1).tolist()
        chosen = [index for index, learns in enumerate(alive) if learns]
        return split_by_tree(found, chosen, self.settings.updates_per_step, self._order)

    def _step(
        self,
        algorithm: Algorithm,
        found: Rows,
        batch: Batch,
        chosen: list[int],
        prepared: Mapping[object, Any] | None,
        replay_weight: float | None,
        *,
        first: bool,
    ) -> dict[str, float]:
        """Make one optimiser step on some rows; `replay_weight` scales the loss of earlier ones."""
        mask_BT = batch.mask_BT[torch.tensor(chosen, device=self._device)]
        normaliser = Normaliser.of(mask_BT, self._max_row_tokens)
        if algorithm.stat_scope == "mini":
            prepared = self._prepare(algorithm, found, batch, chosen)
        parts, apart = [], MismatchReport()
        compares = first and replay_weight is None and comparable(algorithm)
        for micro in self._measure.micro_batches(found, chosen):
            part = self._measure.current(algorithm, micro, batch)
            loss = policy_loss(
                algorithm, part, normaliser, generator=self._draws, prepared=prepared
            )
            scale = 1.0 if replay_weight is None else replay_weight
            (scale * loss.value).backward()  # type: ignore[no-untyped-call]
            parts.append(loss.metrics | sizes(micro, part.valid_BT))
            if self._replay is not None and replay_weight is None:
                self._replay.collect(part)
            if compares:
                apart.add(part)
        merged = metrics.combine(parts)
        report = metrics.report(merged) | apart.numbers()
        total = merged["loss"].total
        if replay_weight is not None:
            return report | self._optimizer.step(total, counts=False)
        return report | self._optimizer.step(total)

    def _prepare(
        self, algorithm: Algorithm, found: Rows, batch: Batch, chosen: list[int]
    ) -> dict[object, Any]:
        """Compute what slots need to know about the whole optimiser batch."""
        whole = batch.rows(torch.tensor(chosen, device=self._device))
        wanted = {stat for stat in algorithm.prepare_requires if stat.current}
        if wanted:
            stats = self._measure.frozen(found, chosen, wanted)
            whole = whole.with_stats({name: values[chosen] for name, values in stats.items()})
        normaliser = Normaliser.of(whole.mask_BT, self._max_row_tokens)
        whole = with_copies(algorithm, whole)
        return prepare(algorithm, whole, normaliser, generator=self._draws)


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
