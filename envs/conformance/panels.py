"""Checks of task panels."""

from __future__ import annotations

import json
import pickle

from agentrl.envs.conformance.elsewhere import in_another_process
from agentrl.envs.conformance.results import Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.types import TaskPanel

_STORED = "put only JSON values into the options of tasks"


def panels(subject: Subject) -> str:
    """Panels are the same every time and everywhere, and what is trained on is not held out."""
    found = {split: subject.panel(split) for split in ("train", "heldout")}
    for split, panel in found.items():
        _check(subject, split, panel)
    _disjoint(found["train"], found["heldout"])
    hashes = {split: panel.hash for split, panel in found.items()}
    for split, there in in_another_process(subject, []).panel_hashes.items():
        if there != hashes[split]:
            raise Violation(
                f"The {split} panel has hash {hashes[split]} here and {there} in another process.",
                "sort sets and folder listings; use no clock, `id`, `hash` or unseeded generator",
            )
    return ", ".join(f"{len(panel)} {split}" for split, panel in found.items())


def _check(subject: Subject, split: str, panel: TaskPanel) -> None:
    with subject.calling(f"the hash of the {split} panel", _STORED):
        unchanged = subject.panel(split).hash == panel.hash
    if not unchanged:
        raise Violation(
            f"`panel({split!r})` returns other tasks when it is called again.",
            "draw from `random.Random(seed)` only, and sort what has no order",
        )
    name = subject.env_id.rpartition(":")[2]
    for task in panel:
        if task.env_id != name:
            raise Violation(
                f"Task {task.id!r} of the {split} panel names environment {task.env_id!r}.",
                f"make tasks with `env_id={name!r}`",
            )
        if type(task.seed) is not int or task.seed < 0:
            raise Violation(
                f"Task {task.id!r} has seed {task.seed!r}.", "give an int of at least 0"
            )
    if subject.split == split and panel[0].split != split:
        raise Violation(
            f"The tasks of panel {split!r} are labelled {panel[0].split!r}.",
            f"make tasks with `split={split!r}`",
        )
    with subject.calling(f"storing the {split} panel", _STORED):
        stored = TaskPanel.from_json(json.loads(json.dumps(panel.to_json())))
        pickled = pickle.loads(pickle.dumps(panel))
    if stored != panel or pickled != panel:
        raise Violation(
            f"The {split} panel is not the same after being stored as JSON and loaded again.",
            "use lists, not tuples, and str keys in the options of tasks",
        )


def _disjoint(train: TaskPanel, heldout: TaskPanel) -> None:
    ids = {task.id for task in train} & {task.id for task in heldout}
    content = {_content(train, i) for i in range(len(train))}
    if ids:
        raise Violation(
            f"Task id {min(ids)!r} is in the train panel and in the heldout panel.",
            "give each split tasks, and task ids, of its own",
        )
    for i in range(len(heldout)):
        if _content(heldout, i) in content:
            raise Violation(
                f"Task {heldout[i].id!r} of the heldout panel has seed and options of a task of "
                "the train panel.",
                "give each split seeds or options of its own",
            )


def _content(panel: TaskPanel, i: int) -> str:
    return json.dumps([panel[i].seed, dict(panel[i].options)], sort_keys=True, default=str)
