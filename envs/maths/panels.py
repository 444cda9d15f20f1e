"""Task panels of mathematics: generated arithmetic, or any set or file of problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from agentrl.envs.maths.arithmetic import OPERATIONS, guesses, problem
from agentrl.envs.maths.judge import READS, judge_named
from agentrl.envs.maths.prompt import FORMS
from agentrl.envs.options import check_choice, check_integer, check_name
from agentrl.envs.questions.golds import with_verified_golds
from agentrl.envs.questions.panel_choice import PanelChoice, split_options
from agentrl.envs.questions.question import QuestionSet
from agentrl.errors import ConfigError, DataError
from agentrl.scoring.maths import MathsScorer
from agentrl.tools.base import JSON
from agentrl.types import Task

ENV_ID = "agentrl/Math-v0"
FIRST_SEED: Mapping[str, int] = {"train": 0, "heldout": 1_000_000, "test": 2_000_000}
ARITHMETIC = ("count", "digits", "terms", "operations")
OF_FILES = ("judge", "form_of_answer", "unverified")
DEFAULT_JUDGES: Mapping[str, tuple[str, str]] = {
    "gsm8k": ("gsm8k", "hashes"),
    "math": ("math", "boxed"),
    "dapo17k": ("dapo", "given"),
}
"""Judge and form of an answer of a set, as in verl's rewards; of others `boxed`."""


class Arithmetic(NamedTuple):
    """A generated problem."""

    seed: int
    text: str
    answer: str


def arithmetic(
    environment: str, split: str, options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[Arithmetic]:
    """Return different problems; heldout ones occur in no training panel of the same options.

    A problem belongs to the split that its text's own number gives, whatever the seed.

    Args:
        environment: its name, for messages.
        split: one of `FIRST_SEED`.
        options: of the panel.
        defaults: for those of `ARITHMETIC` that are left out.

    Raises:
        ConfigError: an option is wrong, or there are not so many problems.
    """
    check_choice(environment, "split", split, FIRST_SEED)
    count, digits, terms, operations = ({**defaults, **options}[name] for name in ARITHMETIC)
    for name, value in {"count": count, "digits": digits, "terms": terms}.items():
        check_integer(name, value)
    if not operations or not set(operations) <= set(OPERATIONS):
        raise ConfigError(f"`operations` are some of {''.join(OPERATIONS)}; got {operations!r}.")
    found: dict[str, Arithmetic] = {}
    for seed in range(FIRST_SEED[split], FIRST_SEED[split] + 100 * count):
        text, answer = problem(seed, digits, terms, operations)
        if (sum(text.encode()) % 4 == 0) == (split != "train"):
            found.setdefault(text, Arithmetic(seed, text, answer))
        if len(found) == count:
            return list(found.values())
    raise ConfigError(
        f"There are not {count} different problems of this kind for the split {split!r}, only "
        f"{len(found)}; ask for fewer, or for more `digits` or `terms`."
    )


def generated_tasks(split: str, options: Mapping[str, Any]) -> Iterator[Task]:
    """Yield tasks of generated arithmetic."""
    for name in options:
        check_name("Math", name, [*PanelChoice.__dataclass_fields__, *ARITHMETIC, *OF_FILES])
        if name in (*PanelChoice.__dataclass_fields__, "unverified") and name != "count":
            raise ConfigError(f"`{name}` goes with `file`, a set or file of problems.")
    shared = judging(options, "exact", "boxed")
    if not {"judge", "form_of_answer"} & options.keys():
        del shared["form"]  # the prompt alone decides
    defaults = {"count": 64, "digits": 2, "terms": 2, "operations": "+-"}
    for seed, text, answer in arithmetic("Math", split, options, defaults):
        values = {"problem": text, "answer": answer, "guesses": guesses(answer, seed), **shared}
        yield Task(id=text, env_id=ENV_ID, options=values, split=split, answer=answer)


def file_tasks(split: str, options: Mapping[str, Any]) -> Iterator[Task]:
    """Yield tasks of a set or file of problems."""
    check_choice("Math", "split", split, FIRST_SEED)
    questions, shared = judged_questions("Math", split, options, OF_FILES)
    for row in questions:
        yield Task(
            id=row.id,
            env_id=ENV_ID,
            split=split,
            task_type=row.level or row.category,
            answer=row.answers[0],
            options={"problem": row.question, "answer": row.answers[0], **shared},
        )


def judged_questions(
    environment: str, split: str, options: Mapping[str, Any], names: tuple[str, ...]
) -> tuple[QuestionSet, dict[str, JSON]]:
    """Return problems whose answers can be given, with their judge and form of an answer.

    Raises:
        UnknownNameError: there is no such option, judge or form.
        ConfigError: the judge does not read that form.
        DataError: the file is missing or damaged, or a right answer would not be accepted.
    """
    chosen, rest = split_options(options)
    for name in rest:
        check_name(environment, name, [*PanelChoice.__dataclass_fields__, *names])
    choice = PanelChoice(**{"form": "math"} | chosen)
    name = choice.set_name if choice.is_set or "form" in chosen else ""
    shared = judging(rest, *DEFAULT_JUDGES.get(name, ("boxed", "boxed")))
    unverified = rest.get("unverified", "refuse")
    check_choice(environment, "unverified", unverified, ("refuse", "drop"))
    return _answerable(choice.load(split), shared, unverified), shared


def judging(options: Mapping[str, Any], judge: str, form: str) -> dict[str, JSON]:
    """Return judge and form of an answer of a panel's tasks.

    Args:
        options: of the panel.
        judge: by default.
        form: by default, with that judge; other judges have their own.

    Raises:
        UnknownNameError: there is no such judge or form.
        ConfigError: the judge does not read that form.
    """
    chosen = options.get("judge", judge)
    judge_named(chosen)
    form = options.get("form_of_answer", form if chosen == judge else READS[chosen][0])
    check_choice("Math", "form_of_answer", form, FORMS)
    if form not in READS[chosen]:
        raise ConfigError(
            f"The judge {chosen!r} does not read answers of the form {form!r}; it reads "
            f"{', '.join(READS[chosen])}."
        )
    return {"judge": chosen, "form": form}


def written(options: Mapping[str, JSON], answer: str) -> str:
    """Return an answer in a task's form, if it has one."""
    form = options.get("form", "bare")
    return FORMS[READS[options["judge"]][0] if form == "given" else form].written(answer)


def _answerable(
    questions: QuestionSet, shared: Mapping[str, JSON], unverified: Literal["refuse", "drop"]
) -> QuestionSet:
    """Return the questions whose own answers are accepted."""
    if shared["judge"] == "boxed":
        with MathsScorer() as scorer:
            return with_verified_golds(questions, scorer, unverified)
    judge = judge_named(shared["judge"])
    good = [
        row for row in questions if judge(written(shared, row.answers[0]), row.answers[0]).correct
    ]
    if not good or (len(good) < len(questions) and unverified == "refuse"):
        bad = next(row for row in questions if row not in good)
        raise DataError(
            f"The judge {shared['judge']!r} would not accept the right answers of "
            f"{len(questions) - len(good)} of {len(questions)} rows, the first being {bad.id!r}: "
            f"{bad.answers[0][:80]!r}. Choose another `judge`, or leave them out with "
            "`unverified: drop`."
        )
    return replace(questions, questions=tuple(good))
