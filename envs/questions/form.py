"""What is known of a question set: where it comes from, how its rows read, how large it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentrl.envs.questions.question import Question
from agentrl.envs.questions.row import Row

Reader = Callable[[Row], Question | None]
"""Reads a row; None leaves it out, for example a question without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionForm:
    """A question set.

    Attributes:
        name: as `load_questions` takes it, and the name of its data directory.
        title: as its authors write it.
        source: where its files are to be had.
        files: by split, paths without suffix below the data directory; the first split is the
            default one.
        read: reads a row.
        scorer: name of the official scorer.
        sizes: by name of a published selection, how many questions it has (`all`) and how many of
            some levels or categories.
        repeated: the published file repeats rows; those with an id seen before are left out.
        private: questions and answers must not be published as plain text.
    """

    name: str
    title: str
    source: str
    files: Mapping[str, tuple[str, ...]]
    read: Reader
    scorer: str
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    repeated: bool = False
    private: bool = False

    @property
    def default_split(self) -> str:
        """The split that is meant where none is named."""
        return next(iter(self.files))

    def compare_size(self, counts: Mapping[str, int]) -> str:
        """Say which published selection has these counts by `all`, level and category."""
        for name, published in self.sizes.items():
            if published.items() <= counts.items():
                return f"size as published ({name})"
        known = ", ".join(f"{name} {size['all']}" for name, size in self.sizes.items())
        return f"size differs from the published ones ({known})" if known else ""
