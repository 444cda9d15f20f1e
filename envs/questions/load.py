"""Question sets by name, from local files."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agentrl.envs.data import data_directory
from agentrl.envs.questions.catalogue import FORMS
from agentrl.envs.questions.control import Damage, clean, control_character
from agentrl.envs.questions.files import SUFFIXES, find_files, read_rows
from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.envs.questions.row import Row, hash_of
from agentrl.envs.questions.subset import Selection
from agentrl.errors import ConfigError, DataError, unknown_name


def load_questions(
    name: str,
    *,
    split: str = "",
    path: str | Path | None = None,
    data_dir: str | Path | None = None,
    selection: Selection | None = None,
    damaged: Damage = "refuse",
) -> QuestionSet:
    """Load a set from local files; `QuestionSet.summary` says what was found.

    Args:
        name: of the set, a key of `FORMS`.
        split: of the set; by default its first.
        path: the file itself; by default it is looked for in the data directory.
        data_dir: the set's directory; by default `$AGENTRL_DATA/<name>`, see `agentrl.envs.data`.
        selection: which questions to keep; by default all.
        damaged: what to do about rows with control characters.

    Raises:
        UnknownNameError: there is no such set.
        ConfigError: there is no such split or level.
        DataError: the file is missing, damaged or of another form; the message says how to mend it.
    """
    if name not in FORMS:
        raise unknown_name("question set", name, FORMS)
    form, selection = FORMS[name], selection or Selection()
    split = split or form.default_split
    paths = _paths(form, split, path, data_dir)
    remarks: Counter[str] = Counter()
    read = _read(form, (row for file in paths for row in read_rows(file)), damaged, remarks)
    questions = selection.of(list(_unique(form, read, remarks)))
    if not questions:
        raise DataError(f"{', '.join(map(str, paths))} holds no question of {form.title}.")
    return QuestionSet(
        name=name,
        split=split,
        subset=selection.label,
        path=str(paths[0] if len(paths) == 1 else paths[0].parent),
        questions=tuple(questions),
        scorer=form.scorer,
        private=form.private,
        remarks=(
            *_size_remarks(form, questions),
            *(f"{count} rows {what}" for what, count in remarks.items()),
        ),
    )


def _paths(
    form: QuestionForm, split: str, path: str | Path | None, data_dir: str | Path | None
) -> list[Path]:
    if path is not None:
        chosen = Path(path).expanduser().absolute()
        if chosen.is_file():
            return [chosen]
        raise DataError(f"There is no file {str(chosen)!r}; get {form.title} from {form.source}.")
    if split not in form.files:
        raise ConfigError(f"{form.title} has no split {split!r}; it has {', '.join(form.files)}.")
    folder = data_directory(form.name, data_dir)
    if found := find_files(folder, form.files[split]):
        return found
    stems = ", ".join(map(repr, form.files[split]))
    raise DataError(
        f"There is no {form.title} ({split}) in {str(folder)!r}. Get it from {form.source} and put "
        f"it there under one of the names {stems}, with the ending {', '.join(SUFFIXES)}; "
        "or name the file with `path`, or the directory with `data_dir` or AGENTRL_DATA."
    )


def _read(
    form: QuestionForm, rows: Iterable[Row], damaged: Damage, remarks: Counter[str]
) -> Iterator[tuple[Row, Question]]:
    """Yield rows and their questions without control characters."""
    for row in rows:
        read = form.read(row)
        if read is None:
            remarks["without an answer left out"] += 1
            continue
        question = clean(read, damaged, row.place)
        if control_character(read):
            remarks["with control characters " + ("mended" if question else "left out")] += 1
        if question is not None:
            yield row, question


def _unique(
    form: QuestionForm, pairs: Iterable[tuple[Row, Question]], remarks: Counter[str]
) -> Iterator[Question]:
    """Make ids unique that come from the question itself; refuse others that occur twice.

    Where the published file is known to repeat rows they are left out instead.
    """
    seen: dict[str, Row] = {}
    times: Counter[str] = Counter()
    for row, question in pairs:
        times[question.id] += 1
        first = seen.setdefault(question.id, row)
        if first is row:
            yield question
        elif form.repeated:
            remarks["that repeat another left out"] += 1
        elif question.id == hash_of(question.question):
            yield dataclasses.replace(question, id=f"{question.id}-{times[question.id]}")
        else:
            raise DataError(
                f"{row.place} has the id {question.id!r} of {first.place}; ids must be unique."
            )


def _size_remarks(form: QuestionForm, questions: Sequence[Question]) -> Iterator[str]:
    counts = Counter(all=len(questions))
    for row in questions:
        counts.update(value for value in (row.level, row.category) if value)
    if remark := form.compare_size(counts):
        yield remark
    missing = [row.file for row in questions if row.file and not Path(row.file).is_file()]
    if missing:
        yield f"{len(missing)} attachments are missing, for example {missing[0]}"
    if hidden := sum(not row.answers for row in questions):
        yield f"{hidden} answers are hidden and cannot be scored here"
