"""A question with its accepted answers, and an ordered set of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of a question set, whatever its file called things.

    Attributes:
        id: unique within the set; the SHA-1 of the question where the file gives none.
        question: what is asked.
        answers: each is accepted; empty where the set hides them.
        level: difficulty, as the set names it.
        category: subject or kind, as the set names it.
        file: path of an attachment; empty without one.
        metadata: what else the row says that an environment or a scorer may need.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    level: str = ""
    category: str = ""
    file: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Questions in the order of their file.

    Attributes:
        name: of the set, for example `gaia`.
        split: of the set.
        subset: what was chosen of the split; empty for all of it.
        path: the file.
        questions: what was read.
        scorer: name of the set's official scorer.
        private: its authors ask that questions and answers are not published as plain text.
        remarks: how its size compares with the published ones, what was left out or mended.
    """

    name: str
    split: str
    path: str
    questions: tuple[Question, ...]
    scorer: str
    subset: str = ""
    private: bool = False
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    @property
    def label(self) -> str:
        """Set, split and subset, for example `gaia/validation/text103`."""
        return "/".join(part for part in (self.name, self.split, self.subset) if part)

    @property
    def hash(self) -> str:
        """Identifies ids, questions and answers; scores compare only where it is equal."""
        rows = [[row.id, row.question, list(row.answers)] for row in self.questions]
        text = json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:12]

    def counts(self, attribute: str) -> dict[str, int]:
        """Return how many questions there are by `level` or `category`."""
        values = Counter(getattr(row, attribute) for row in self.questions)
        return {value: values[value] for value in sorted(values) if value}

    def summary(self) -> str:
        """Return what was loaded, in lines to print."""
        lines = [f"{self.label}: {len(self)} questions, hash {self.hash}, from {self.path}"]
        for attribute in ("level", "category"):
            if counts := self.counts(attribute):
                shown = ", ".join(f"{name} {count}" for name, count in counts.items())
                lines.append(f"  by {attribute}: {shown}")
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])
