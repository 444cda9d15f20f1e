"""A self-contained HTML page of a report: scores, groups, and every question with its answers."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agentrl.evaluation.questions.marking import MarkedQuestion, MarkedSample
from agentrl.evaluation.questions.report import QuestionReport, columns, facts, lines
from agentrl.evaluation.questions.transcript import readable

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1200px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;overflow-wrap:anywhere} h2{font-size:1.15em;margin-top:2em}
.scores{display:flex;flex-wrap:wrap;gap:1em;margin-bottom:1em}
.score{border:1px solid #ddd;border-radius:6px;padding:.6em 1.1em}
.score b{display:block;font-size:1.6em;font-weight:600}
table{border-collapse:collapse} th{font-weight:400;color:#555}
td,th{padding:.15em 1.1em .15em 0;text-align:left;vertical-align:top}
.facts th{white-space:nowrap} .facts td{overflow-wrap:anywhere}
.groups{overflow-x:auto;white-space:nowrap;font-size:13px;font-variant-numeric:tabular-nums}
.groups td,.groups th{text-align:right;padding-right:.9em}
.groups :is(td,th):is(:nth-child(1),:nth-child(3)){text-align:left}
.groups tr+tr.first td{border-top:1px solid #ddd}
.right{color:#38761d} .wrong{color:#cc4125} .open{color:#b7790a}
details{margin:.3em 0} summary{cursor:pointer;overflow-wrap:anywhere}
.inside{border-left:3px solid #eee;padding-left:1em;margin:.3em 0 1em .3em}
pre{background:#f6f6f6;padding:1em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
"""
LONGEST = 20_000
"""Characters of a transcript that are shown."""


def write_page(
    path: Path, report: QuestionReport, marked: Sequence[MarkedQuestion], *, private: bool
) -> None:
    """Write the page.

    Args:
        path: the file to write.
        report: the numbers.
        marked: the questions and their answers.
        private: show ids and marks only, as the authors of the set ask.
    """
    heading = html.escape(f"{report.agent or 'unknown agent'} on {report.questions}")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{heading}</title><style>{STYLE}</style></head><body><h1>{heading}</h1>",
        *_boxes(report),
        "<h2>Groups of questions</h2>",
        f'<div class="groups"><table>{"".join(_groups(report))}</table></div>',
        "<h2>How the samples ended</h2>",
        _table((name, str(count)) for name, count in report.rows[0].effort.stops.items()),
        "<h2>What belongs to these numbers</h2>",
        _table(facts(report)),
        "<h2>Questions</h2>",
        "<p>The set's authors ask that its questions are not published, so only ids are shown.</p>"
        if private
        else "",
        *(_question(row, private) for row in marked),
        "</body></html>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8", errors="backslashreplace")


def _boxes(report: QuestionReport) -> Iterator[str]:
    """Yield the numbers a reader looks for first: one row of boxes for each scorer."""
    for name, score in report.rows[0].scores.items():
        if score.average is None:
            continue
        low, high = score.interval
        interval = f"<br>95 %: {100 * low:.1f} to {100 * high:.1f}"
        numbers = {
            f"avg@{report.samples}": score.average,
            **{f"pass@{k}": value for k, value in score.pass_at.items() if k > 1},
            **{f"maj@{k}": value for k, value in score.maj_at.items() if k > 1},
            **score.more,
        }
        boxes = (
            f'<div class="score"><b>{100 * value:.1f} %</b>{html.escape(f"{name}, {label}")}'
            f"{'' if place else interval}</div>"
            for place, (label, value) in enumerate(numbers.items())
        )
        yield f'<div class="scores">{"".join(boxes)}</div>'


def _groups(report: QuestionReport) -> Iterator[str]:
    """Yield the lines of the table of groups; a group's first is set off."""
    yield _line(columns(report), "th")
    group = ""
    for line in lines(report):
        yield _line(line, first=line[0] != group)
        group = line[0]


def _line(texts: Iterable[str], tag: str = "td", *, first: bool = False) -> str:
    cells = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
    return f"{'<tr class=first>' if first else '<tr>'}{cells}</tr>"


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    rows = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in pairs
    )
    return f'<table class="facts">{"".join(rows)}</table>'


def _question(row: MarkedQuestion, private: bool) -> str:
    question = row.question
    right = sum(_headline(sample) == 1 for sample in row.samples)
    level = f"level {question.level}" if question.level else ""
    about = ", ".join(part for part in (level, question.category) if part)
    head = f"{question.id}{f' ({about})' if about else ''}: {right} of {len(row.samples)} right"
    colour = "right" if right == len(row.samples) else "open" if right else "wrong"
    summary = f'<summary class="{colour}">{html.escape(head)}</summary>'
    asked = "" if private else f"<pre>{html.escape(question.question)}</pre>"
    golds = "" if private else f"<p>Accepted: {html.escape(' | '.join(question.answers))}</p>"
    samples = "".join(_sample(place, sample, private) for place, sample in enumerate(row.samples))
    return f'<details>{summary}<div class="inside">{asked}{golds}{samples}</div></details>'


def _sample(place: int, sample: MarkedSample, private: bool) -> str:
    marks = ", ".join(
        f"{name} {'not marked: ' + mark.error if mark.score is None else f'{mark.score:g}'}"
        f"{f' ({mark.grade})' if mark.grade else ''}"
        for name, mark in sample.marks.items()
    )
    found = sample.prediction
    if found is None:
        return f"<p>Sample {place}: missing. {html.escape(marks)}</p>"
    said = "hidden" if private else repr(found.prediction)
    calls = f"{found.calls} call{'' if found.calls == 1 else 's'}"
    effort = f"{calls}, {found.tokens} tokens, {found.seconds:.1f} s"
    text = f"Sample {place}: {said}. {marks}. {found.stop}, {effort}. {found.error}"
    return f"<p>{html.escape(text)}</p>{'' if private else _transcript(found.transcript)}"


def _transcript(transcript: object) -> str:
    if transcript is None:
        return ""
    text = readable(transcript)
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[cut]"
    return f"<details><summary>transcript</summary><pre>{html.escape(cut)}</pre></details>"


def _headline(sample: MarkedSample) -> float | None:
    return next(iter(sample.marks.values())).score
