"""The report of a run: every group's scores with their denominators, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentrl._version import __version__
from agentrl.envs.questions import QuestionSet
from agentrl.evaluation.interval import METHOD
from agentrl.evaluation.questions.marking import MarkedQuestion
from agentrl.evaluation.questions.prediction_file import RunHeader
from agentrl.evaluation.questions.scorer import Scorer
from agentrl.evaluation.questions.scores import Effort, Score, effort_of, score_of

ALL = "all"
INTERVALS = (
    f"{METHOD.replace('task', 'question').replace('episodes', 'samples')}; of scores between 0 and "
    "1 the bootstrap over questions"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A group of questions.

    Attributes:
        name: `all`, a level, a category, or both.
        questions: how many there are.
        effort: what its samples took.
        scores: by scorer, the headline first.
    """

    name: str
    questions: int
    effort: Effort
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionReport:
    """How a run went, and everything that belongs to its numbers.

    Attributes:
        questions: set, split and subset.
        size: number of questions; every one is in the denominators.
        hash: of the set's content; scores compare only where it is equal.
        remarks: on the set, for example how its size compares with the published ones.
        agent: who answered.
        settings: how.
        versions: of the packages that answered, and of AgentRL that scored.
        samples: per question.
        scorers: what is to be said of each, by name.
        rows: the groups; `all` first.
        intervals: what the intervals are.
    """

    questions: str
    size: int
    hash: str
    remarks: Sequence[str]
    agent: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    samples: int
    scorers: Mapping[str, Mapping[str, str]]
    rows: Sequence[GroupRow]
    intervals: str = INTERVALS

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)

    @property
    def headline(self) -> Score:
        """The set's own score over all questions."""
        return next(iter(self.rows[0].scores.values()))


def report_of(
    questions: QuestionSet,
    marked: Sequence[MarkedQuestion],
    scorers: Sequence[Scorer],
    header: RunHeader,
    ks: Sequence[int] = (),
) -> QuestionReport:
    """Put a report together.

    Args:
        questions: what was asked.
        marked: the answers.
        scorers: who marked them, the headline first.
        header: who answered and how.
        ks: for pass@k and maj@k; 1 and the number of samples by default.
    """
    wanted = tuple(ks) or tuple(sorted({1, header.samples}))
    return QuestionReport(
        questions=questions.label,
        size=len(questions),
        hash=questions.hash,
        remarks=questions.remarks,
        agent=header.agent,
        settings=header.settings,
        versions={**header.versions, "scored with agentrl": __version__},
        samples=header.samples,
        scorers={scorer.name: scorer.facts for scorer in scorers},
        rows=[
            GroupRow(
                name=name,
                questions=len(group),
                effort=effort_of(group),
                scores={scorer.name: score_of(group, scorer, wanted) for scorer in scorers},
            )
            for name, group in _groups(marked)
        ],
    )


def _groups(marked: Sequence[MarkedQuestion]) -> Iterator[tuple[str, list[MarkedQuestion]]]:
    """Yield all questions, then those of each level, each category, and each of both."""
    yield ALL, list(marked)
    levels = sorted({row.question.level for row in marked} - {""})
    categories = sorted({row.question.category for row in marked} - {""})
    if len(levels) > 1:
        for level in levels:
            yield f"level {level}", [row for row in marked if row.question.level == level]
    if len(categories) > 1:
        for category in categories:
            yield category, [row for row in marked if row.question.category == category]
    if len(levels) > 1 and len(categories) > 1:
        for category in categories:
            for level in levels:
                pair = (category, level)
                group = [r for r in marked if (r.question.category, r.question.level) == pair]
                if group:
                    yield f"{category}, level {level}", group


def facts(report: QuestionReport) -> Iterator[tuple[str, str]]:
    """Yield what was asked, who answered, how it was scored, as pairs of label and text."""
    yield "questions", f"{report.questions}, {report.size} questions, hash {report.hash}"
    for remark in report.remarks:
        yield "", remark
    yield "agent", report.agent or "unknown"
    settings = [f"{name} {value}" for name, value in report.settings.items() if value is not None]
    if settings:
        yield "settings", ", ".join(settings)
    yield "samples", f"{report.samples} per question"
    for name, said in report.scorers.items():
        details = ", ".join(f"{key} {value}" for key, value in said.items())
        yield "scorer", f"{name}{f' ({details})' if details else ''}"
    yield "versions", ", ".join(f"{name} {text}" for name, text in report.versions.items())
    yield "intervals", report.intervals
    yield (
        "counting",
        (
            "missing, failed and late samples count as wrong; samples that a judge could not mark "
            "are in no average; calls, tokens and seconds are means over samples; a deadline is in "
            "seconds"
        ),
    )


def columns(report: QuestionReport) -> tuple[str, ...]:
    """Return the heads of a table with one line per group and scorer."""
    ks = _ks(report)
    return (
        "group",
        "questions",
        "scorer",
        f"avg@{report.samples} %",
        "95 %",
        *(f"pass@{k} %" for k in ks),
        *(f"maj@{k} %" for k in ks),
        "failed",
        "missing",
        "judge errors",
        "calls",
        "tokens",
        "seconds",
    )


def lines(report: QuestionReport) -> Iterator[tuple[str, ...]]:
    """Yield the texts of each line, in the order of `columns`."""
    ks = _ks(report)
    for row in report.rows:
        for scorer, score in row.scores.items():
            low, high = score.interval
            partial = score.questions != row.questions
            yield (
                row.name,
                f"{score.questions}/{row.questions}" if partial else str(row.questions),
                scorer,
                _percent(score.average),
                f"{100 * low:.1f}-{100 * high:.1f}" if score.average is not None else "-",
                *(_percent(score.pass_at.get(k)) for k in ks),
                *(_percent(score.maj_at.get(k)) for k in ks),
                str(row.effort.failed),
                str(row.effort.missing),
                str(score.errors),
                *map(_number, (row.effort.calls, row.effort.tokens, row.effort.seconds)),
            )


def plain(report: QuestionReport) -> str:
    """Return facts and table as aligned text."""
    table = [columns(report), *lines(report)]
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    left = {0, 2}
    shown = [f"{label:12}{text}" for label, text in facts(report)]
    shown.append("")
    for line in table:
        cells = (
            text.ljust(width) if place in left else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        shown.append("  ".join(cells).rstrip())
    stops = ", ".join(f"{name} {count}" for name, count in report.rows[0].effort.stops.items())
    shown += ["", f"ended: {stops or 'no sample is there'}"]
    for name, score in report.rows[0].scores.items():
        if score.more:
            more = ", ".join(f"{key} {100 * value:.1f} %" for key, value in score.more.items())
            shown.append(f"{name}: {more}")
    return "\n".join(shown) + "\n"


def _ks(report: QuestionReport) -> list[int]:
    """Return the ks of the headline beyond 1, at which both are the average."""
    return [k for k in report.headline.pass_at if k > 1]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
