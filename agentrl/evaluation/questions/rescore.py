"""Scores a file of predictions; needs no model, and of judges only their stored verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from agentrl.envs.questions import QuestionSet
from agentrl.errors import DataError
from agentrl.evaluation.questions.marking import mark_all
from agentrl.evaluation.questions.page import write_page
from agentrl.evaluation.questions.prediction_file import RunHeader, read_predictions
from agentrl.evaluation.questions.report import QuestionReport, plain, report_of
from agentrl.evaluation.questions.scorer import Scorer


async def score_file(
    path: Path,
    questions: QuestionSet,
    scorers: Sequence[Scorer],
    *,
    ks: Sequence[int] = (),
    output: Path | None = None,
    part: bool = False,
) -> QuestionReport:
    """Score predictions and write `<name>.report.json`, `.report.txt` and `.report.html`.

    Args:
        path: the predictions.
        questions: what was asked.
        scorers: who marks, the headline first.
        ks: for pass@k and maj@k; 1 and the number of samples by default.
        output: folder of the report; beside the predictions by default.
        part: more was asked than is to be scored; other predictions are left out.

    Raises:
        DataError: the file is damaged or of another set.
    """
    header, predictions = read_predictions(path)
    if header is None:
        most = max((found.sample for found in predictions), default=0)
        header = RunHeader(questions=questions.label, hash=questions.hash, samples=most + 1)
    if part:
        wanted = {row.id for row in questions}
        predictions = [found for found in predictions if found.id in wanted]
    elif header.hash != questions.hash:
        raise DataError(
            f"{str(path)!r} answers {header.questions} with hash {header.hash}, but "
            f"{questions.label} has hash {questions.hash}; load the same file and subset, or say "
            "that only a part is to be scored."
        )
    marked = await mark_all(questions, predictions, scorers, samples=header.samples)
    report = report_of(questions, marked, scorers, header, ks)
    folder = output or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{path.stem}.report"
    data = json.dumps(report.to_json(), indent=1) + "\n"
    stem.with_name(f"{stem.name}.json").write_text(data, encoding="utf-8")
    stem.with_name(f"{stem.name}.txt").write_text(plain(report), encoding="utf-8")
    page = stem.with_name(f"{stem.name}.html")
    write_page(page, report, marked, private=questions.private)
    return report
