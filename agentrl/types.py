"""Tasks and task panels: what is to be solved, in a fixed order, under a content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, overload

from agentrl.errors import DataError

JSON = Any
"""A value that `json` can write and read back unchanged."""


Message = Mapping[str, JSON]
"""A chat message: `role`, `content` and whatever else a chat template knows."""


@dataclass(frozen=True, slots=True)
class Continued:
    """An observation that goes on inside the model's own turn, without a chat template around it.

    Attributes:
        text: as it stands after what the model wrote.
    """

    text: str


Shown = str | Sequence[Message] | Continued
"""What a model is shown: the text of a user message, messages, or what continues its turn."""


def shown_text(shown: Shown) -> str:
    """Return the text of what a model is shown, for logs and tokenizers."""
    if isinstance(shown, str):
        return shown
    if isinstance(shown, Continued):
        return shown.text
    return "\n".join(str(message.get("content", "")) for message in shown)


LOCATION_OPTIONS = frozenset(
    {"data_dir", "corpus", "server", "index", "cache", "source", "attachment"}
)
"""Options that say where data lie and not what a task is; they do not count for panel hashes.

`source` is where a task's searches go; what a corpus holds has a digest of its own.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One problem instance of an environment.

    Attributes:
        id: unique within its panel, stable across runs.
        env_id: registered environment id, for example `agentrl/TextWorld-v0`.
        seed: given to `Env.reset(seed=...)`.
        options: given to `Env.reset(options=...)`; JSON values only.
        split: `train`, `heldout`, `test`, ...
        task_type: a label for per-type metrics; empty when the environment has only one.
        answer: the reference answer where the environment scores against one.
    """

    id: str
    env_id: str
    seed: int = 0
    options: Mapping[str, JSON] = field(default_factory=dict)
    split: str = "train"
    task_type: str = ""
    answer: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the task as a JSON object."""
        return asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_json(cls, data: Mapping[str, JSON]) -> Task:
        """Rebuild a task written by `to_json`."""
        try:
            return cls(**data)
        except TypeError as error:
            raise DataError(f"Not a stored task: {error}") from error


@dataclass(frozen=True, slots=True)
class TaskPanel(Sequence[Task]):
    """An explicit, ordered list of tasks; its hash goes with every score.

    Attributes:
        name: what people call it, for example `textworld-heldout`.
        tasks: the tasks in evaluation order; ids are unique.
    """

    name: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        ids = [task.id for task in self.tasks]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise DataError(
                f"Panel {self.name!r} holds task id {twice!r} twice; ids must be unique."
            )

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the tasks in order.

        The panel's name and `LOCATION_OPTIONS` do not count.
        """
        tasks = self.to_json()["tasks"]
        for task in tasks:
            for name in LOCATION_OPTIONS & task["options"].keys():
                del task["options"][name]
        text = json.dumps(tasks, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> TaskPanel: ...
    def __getitem__(self, index: int | slice) -> Task | TaskPanel:
        if isinstance(index, slice):
            return TaskPanel(self.name, self.tasks[index])
        return self.tasks[index]

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def to_json(self) -> dict[str, JSON]:
        """Return the panel as a JSON object."""
        return {"name": self.name, "tasks": [task.to_json() for task in self.tasks]}

    @classmethod
    def from_json(cls, data: Mapping[str, JSON]) -> TaskPanel:
        """Rebuild a panel written by `to_json`."""
        try:
            return cls(data["name"], tuple(Task.from_json(task) for task in data["tasks"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"Not a stored task panel: {error!r}") from error

    @classmethod
    def of(cls, name: str, tasks: Iterable[Task]) -> TaskPanel:
        """Build a panel from any iterable of tasks."""
        return cls(name, tuple(tasks))
