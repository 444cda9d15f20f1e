"""A self-contained HTML page of a report: scores, groups, and every question with its answers."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from agentrl.evaluation.questions.marking import MarkedQuestion, MarkedSample
from agentrl.evaluation.questions.report import QuestionReport, columns, facts, lines

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1060px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em} h2{font-size:1.15em;margin-top:2em}
.scores{display:flex;flex-wrap:wrap;gap:1em}
.score{border:1px solid #ddd;border-radius:6px;padding:.6em 1.1em}
.score b{display:block;font-size:1.6em;font-weight:600}
.wide{overflow-x:auto} table{border-collapse:collapse}
td,th{padding:.15em .9em .15em 0;text-align:left;vertical-align:top} th{font-weight:400;color:#555}
.right{color:#38761d} .wrong{color:#cc4125} .open{color:#b7790a}
details{margin:.3em 0} summary{cursor:pointer} pre{background:#f6f6f6;padding:1em;overflow:auto;
white-space:pre-wrap}
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
    body = "".join(_line(line) for line in lines(report))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{heading}</title><style>{STYLE}</style></head><body><h1>{heading}</h1>",
        f'<div class="scores">{"".join(_boxes(report))}</div>',
        "<h2>Groups of questions</h2>",
        f'<div class="wide"><table>{_line(columns(report), "th")}{body}</table></div>',
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


def _boxes(report: QuestionReport) -> Iterable[str]:
    """The numbers a reader looks for first: every scorer over all questions."""
    for name, score in report.rows[0].scores.items():
        if score.average is None:
            continue
        low, high = score.interval
        yield (
            f'<div class="score"><b>{100 * score.average:.1f} %</b>{html.escape(name)}, '
            f"avg@{report.samples}<br>95 %: {100 * low:.1f} to {100 * high:.1f}</div>"
        )
        for label, value in (
            *((f"pass@{k}", value) for k, value in score.pass_at.items() if k > 1),
            *((f"maj@{k}", value) for k, value in score.maj_at.items() if k > 1),
            *score.more.items(),
        ):
            shown = html.escape(f"{name}, {label}")
            yield f'<div class="score"><b>{100 * value:.1f} %</b>{shown}</div>'


def _line(texts: Iterable[str], tag: str = "td") -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    rows = (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in pairs
    )
    return f"<table>{''.join(rows)}</table>"


def _question(row: MarkedQuestion, private: bool) -> str:
    question = row.question
    right = sum(_headline(sample) == 1 for sample in row.samples)
    about = " ".join(part for part in (question.level, question.category) if part)
    head = f"{question.id}{f' ({about})' if about else ''}: {right} of {len(row.samples)} right"
    colour = "right" if right == len(row.samples) else "open" if right else "wrong"
    summary = f'<summary class="{colour}">{html.escape(head)}</summary>'
    asked = "" if private else f"<pre>{html.escape(question.question)}</pre>"
    golds = "" if private else f"<p>Accepted: {html.escape(' | '.join(question.answers))}</p>"
    samples = "".join(_sample(place, sample, private) for place, sample in enumerate(row.samples))
    return f"<details>{summary}{asked}{golds}{samples}</details>"


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
    effort = f"{found.calls} calls, {found.tokens} tokens, {found.seconds:.1f} s"
    text = f"Sample {place}: {said}. {marks}. {found.stop}, {effort}. {found.error}"
    return f"<p>{html.escape(text)}</p>{'' if private else _transcript(found.transcript)}"


def _transcript(transcript: object) -> str:
    if transcript is None:
        return ""
    text = (
        transcript
        if isinstance(transcript, str)
        else json.dumps(transcript, indent=1, ensure_ascii=False)
    )
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[cut]"
    return f"<details><summary>transcript</summary><pre>{html.escape(cut)}</pre></details>"


def _headline(sample: MarkedSample) -> float | None:
    return next(iter(sample.marks.values())).score
