"""The questions of a task panel, from the panel's options.

`file` is a set by name, which lies in the data directory, or the path of a file in the form of one.
A set's own splits are used: `train` for training, the first of dev, test and the set's default one
for the rest.  Where train and heldout panels come from the same questions, `heldout_share` parts
them, each question by its id.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.envs.options import check_choice, check_integer, check_number
from agentrl.envs.questions.catalogue import FORMS
from agentrl.envs.questions.control import Damage
from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.load import load_questions
from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.envs.questions.subset import Selection
from agentrl.errors import ConfigError, DataError

ALIASES: Mapping[str, str] = {
    "nq_open": "nq",
    "2wiki": "2wikimultihopqa",
    "dapo-17k": "dapo17k",
}
"""Other names by which sets are known."""
TRAIN = "train"
_SCORED = ("dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelChoice:
    """Which questions a panel asks.

    Attributes:
        file: name of a set, or path of a file.
        form: name of the set whose form a file has.
        set_split: of the set; by default the one that fits the panel.
        data_dir: the set's directory; see `agentrl.envs.data`.
        heldout_share: share of the questions that only heldout panels ask, 0 to 1; with 0 a panel
            asks all of them.
        count: only the first so many; None for all.
        damaged: what to do about rows with control characters.
    """

    file: str
    form: str = "open_qa"
    set_split: str = ""
    data_dir: str | None = None
    heldout_share: float = 0.0
    count: int | None = None
    damaged: Damage = "refuse"

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or not self.file:
            raise ConfigError(f"`file` is the name of a set or the path of a file: {self.file!r}.")
        check_choice("questions", "form", self.form, FORMS)
        check_choice("questions", "damaged", self.damaged, ("refuse", "drop", "mend"))
        check_integer("count", self.count, optional=True)
        check_number("heldout_share", self.heldout_share)
        if not 0 <= self.heldout_share < 1:
            raise ConfigError(f"`heldout_share` is a share below 1; got {self.heldout_share}.")

    @property
    def is_set(self) -> bool:
        """Whether `file` names a set."""
        return ALIASES.get(self.file, self.file) in FORMS

    @property
    def set_name(self) -> str:
        """The set that is named, or in whose form the file is."""
        return ALIASES.get(self.file, self.file) if self.is_set else self.form

    def load(self, split: str) -> QuestionSet:
        """Return the questions of a panel, at least one, each with an answer.

        Args:
            split: of the panel: `train`, `heldout` or `test`.

        Raises:
            ConfigError: the set has no split for it, or nothing is left.
            DataError: the file is missing or damaged, or its answers are hidden.
        """
        form = FORMS[self.set_name]
        found = load_questions(
            form.name,
            split=self._split_of(form, split) if self.is_set else "",
            path=None if self.is_set else self._path(),
            data_dir=self.data_dir,
            selection=Selection(),
            damaged=self.damaged,
        )
        if hidden := sum(not row.answers for row in found):
            raise DataError(f"{hidden} answers of {found.label} are hidden; nothing can be scored.")
        rows = [row for row in found if self._is_asked(row, split)][: self.count]
        if not rows:
            raise ConfigError(
                f"No question of {found.label} is left; `heldout_share` is too small."
            )
        return dataclasses.replace(found, questions=tuple(rows))

    def _path(self) -> Path:
        path = Path(self.file).expanduser().absolute()
        if not path.is_file():
            raise DataError(
                f"{self.file!r} is no file, and no question set; the sets are {', '.join(FORMS)}."
            )
        return path

    def _split_of(self, form: QuestionForm, split: str) -> str:
        """Return the set's split; that of the train panel where it is parted by share."""
        if self.set_split:
            return self.set_split
        wanted = TRAIN if self.heldout_share else split
        first = (TRAIN,) if wanted == TRAIN else (*_SCORED, form.default_split)
        for name in first:
            if name in form.files and (wanted == TRAIN or name != TRAIN):
                return name
        raise ConfigError(
            f"{form.title} has no split for a {split} panel, only {', '.join(form.files)}. "
            "Name one with `set_split`; `heldout_share` parts it into training and held-out "
            "questions."
        )

    def _is_asked(self, question: Question, split: str) -> bool:
        if not self.heldout_share:
            return True
        digest = hashlib.sha256(question.id.encode("utf-8", "surrogatepass")).digest()
        held_out = int.from_bytes(digest[:4]) < self.heldout_share * 2**32
        return held_out == (split != TRAIN)


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return those options of a panel that choose questions, and the others."""
    names = {field.name for field in dataclasses.fields(PanelChoice)}
    chosen = {name: value for name, value in options.items() if name in names}
    return chosen, {name: value for name, value in options.items() if name not in names}
