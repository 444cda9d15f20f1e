"""`self-critique`: which tasks a run's model was trained on."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from agentrl import assembly
from agentrl.analysis.answers import MAIN, Asker, detector_scores, questions
from agentrl.analysis.detection import detection_quality, roc
from agentrl.analysis.result import Analysis, Cell, Table
from agentrl.analysis.source import Run, require
from agentrl.errors import ConfigError, DataError, unknown_name
from agentrl.evaluation.checkpoint import locate
from agentrl.publishing import Publisher
from agentrl.training.curves import Curve, Plot
from agentrl.types import Task

SHOWN = 10
"""Tasks shown at either end of the ranking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `--tool self-critique` takes.

    Attributes:
        tasks: first tasks of each panel that are asked; 0 takes all.
        labels: JSON file, task id to 1 (trained on) or 0; by default the training panel is 1 and
            the held-out panel 0.
        max_tokens: longest answer; by default `rollout.max_tokens_per_turn`.
        baselines: score the other detectors, too; needs more answers.
        samples: sampled answers for the baseline CDD.
    """

    tasks: int = 64
    labels: str | None = None
    max_tokens: int | None = None
    baselines: bool = False
    samples: int = 10

    def __post_init__(self) -> None:
        require(self.tasks >= 0, "tasks", self.tasks, "at least 0")
        require(self.samples >= 1, "samples", self.samples, "at least 1")
        if self.max_tokens is not None:
            require(self.max_tokens >= 1, "max-tokens", self.max_tokens, "at least 1")


@dataclass(frozen=True, slots=True)
class Scored:
    """A task and what the detectors say; NaN where one has nothing to say, high is trained on."""

    task: str
    label: int
    scores: Mapping[str, float]


def analyse(run: Run, options: Options) -> Analysis:
    """Ask the newest checkpoint twice about every task, and rank the tasks.

    Raises:
        ConfigError: there is no checkpoint, or the labels are wrong.
        DataError: no task could be asked.
    """
    config = run.config
    if config.threads:
        torch.set_num_threads(config.threads)
    model, _ = locate(run.path)
    env_class, panels = assembly.build_panels(config)
    for panel in (panels.train, panels.heldout):
        assembly.prepare_tasks(env_class, panel)
    limit = options.tasks or None
    if options.labels is None:
        labelled = [(task, 1) for task in panels.train[:limit]]
        labelled += [(task, 0) for task in panels.heldout[:limit]]
    else:
        labelled = _labelled(Path(options.labels), [*panels.train, *panels.heldout])
    scored, notes = asyncio.run(_score(run, model, labelled, options))
    if not scored:
        raise DataError(
            "No task could be asked: environments failed or prompts fill the context. "
            f"{' '.join(notes)}"
        )
    scored.sort(key=lambda one: -_rank(one.scores[MAIN]))
    return Analysis(
        tool="self-critique",
        run=str(run.path),
        tables=_tables(scored),
        notes=[f"Model: {model.name}. A high score says: trained on.", *notes, *_remarks(scored)],
        plots=_plots(scored),
        numbers={
            "options": asdict(options),
            "checkpoint": model.name,
            "quality": {name: asdict(_quality(scored, name)) for name in scored[0].scores},
            "tasks": [{"task": one.task, "label": one.label, **one.scores} for one in scored],
        },
    )


def _rank(score: float) -> float:
    return score if math.isfinite(score) else -math.inf


def _labelled(path: Path, tasks: Sequence[Task]) -> list[tuple[Task, int]]:
    """Read the labels; of tasks with the same id the training panel's is meant.

    Raises:
        ConfigError: the file is missing or holds something else.
        UnknownNameError: no panel has the task.
    """
    form = 'a JSON object of task ids and 1 (trained on) or 0, for example {"task-1": 1}'
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`--labels {path}` cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"`--labels {path}` is no JSON; it must be {form}.") from error
    if not isinstance(data, dict) or any(label not in (0, 1) for label in data.values()):
        raise ConfigError(f"`--labels {path}` must be {form}.")
    known = {task.id: task for task in reversed(tasks)}
    for name in data:
        if name not in known:
            raise unknown_name("task", name, known, "Labels are of tasks of the run's panels.")
    return [(known[name], int(label)) for name, label in data.items()]


async def _score(
    run: Run, model: Path, labelled: Sequence[tuple[Task, int]], options: Options
) -> tuple[list[Scored], list[str]]:
    config = run.config
    module, tokenizer = assembly.read_model(config, model)
    engine = assembly.build_engine(config, module, tokenizer)
    env_class, _ = assembly.build_panels(config)
    try:
        await Publisher(module, engine, assembly.DTYPES[config.model.dtype]).publish(0)
        async with assembly.build_pool(config) as pool:
            scheduler = assembly.build_scheduler(
                config, env_class, pool, tokenizer, engine.max_context
            )
            asked, failed = await questions([t for t, _ in labelled], pool, scheduler.settings)
        limit = options.max_tokens or config.rollout.max_tokens_per_turn
        asker = Asker(engine, scheduler.settings, limit, config.seed)
        samples = options.samples if options.baselines else 0
        answers = await asyncio.gather(
            *(asker.ask(one, baselines=options.baselines, samples=samples) for one in asked)
        )
    finally:
        await engine.close()
    label = {id(task): number for task, number in labelled}
    scored = [
        Scored(
            one.question.task.id,
            label[id(one.question.task)],
            detector_scores(one, module, baselines=options.baselines),
        )
        for one in answers
        if one is not None
    ]
    notes = (
        [f"{len(failed)} tasks could not be started: {', '.join(failed[:3])}."] if failed else []
    )
    if full := sum(one is None for one in answers):
        notes.append(f"The prompts of {full} tasks fill the context; they are left out.")
    return scored, notes


def _quality(scored: Sequence[Scored], name: str) -> Any:
    return detection_quality([one.label for one in scored], [one.scores[name] for one in scored])


def _tables(scored: Sequence[Scored]) -> list[Table]:
    rows: list[list[Cell]] = []
    for name in scored[0].scores:
        q = _quality(scored, name)
        rows.append([name, q.auc, q.tpr_at_fpr, q.best_f1, q.youden, q.threshold_youden])
    columns = ["detector", "AUC", "TPR at 5% FPR", "best F1", "Youden J", "threshold of J"]
    ranking = list(enumerate(scored, start=1))
    ranked: list[list[Cell]] = [
        [one.task, rank, one.label, one.scores[MAIN]]
        for rank, one in [*ranking[:SHOWN], *ranking[SHOWN:][-SHOWN:]]
    ]
    known = len({one.label for one in scored}) == 2
    quality = [Table("Trained on (label 1) against not (0)", columns, rows)] if known else []
    title = f"First and last of {len(scored)} tasks by {MAIN}"
    return [*quality, Table(title, ["task", "rank", "label", "score"], ranked)]


def _remarks(scored: Sequence[Scored]) -> list[str]:
    notes = []
    if len({one.label for one in scored}) < 2:
        notes.append("All tasks have the same label, so detectors cannot be scored.")
    missing = sum(not math.isfinite(one.scores[MAIN]) for one in scored)
    if missing:
        notes.append(f"{missing} tasks have no second answer, because it does not fit the context.")
    return notes


def _plots(scored: Sequence[Scored]) -> list[Plot]:
    ranks = [
        Curve(
            name,
            [
                (float(rank), one.scores[MAIN])
                for rank, one in enumerate(scored, start=1)
                if one.label == label and math.isfinite(one.scores[MAIN])
            ],
            style="points",
        )
        for label, name in ((1, "trained on"), (0, "not trained on"))
    ]
    plots = [Plot(curves=ranks, title="Tasks by score", x_label="rank", y_label=MAIN)]
    curves = [_roc_curve(scored, name) for name in scored[0].scores]
    if any(curve.points for curve in curves):
        chance = Curve("chance", [(0.0, 0.0), (1.0, 1.0)], style="dashed")
        plots.append(
            Plot(
                curves=[*curves, chance],
                title="ROC",
                bounds=(0.0, 1.0),
                x_label="false positive rate",
                y_label="true positive rate",
            )
        )
    return plots


def _roc_curve(scored: Sequence[Scored], name: str) -> Curve:
    finite = [one for one in scored if math.isfinite(one.scores[name])]
    if len({one.label for one in finite}) < 2:
        return Curve(name, [])
    curve = roc([one.label for one in finite], [one.scores[name] for one in finite])
    return Curve(name, list(zip(curve.fpr.tolist(), curve.tpr.tolist(), strict=True)))
