"""Open questions with short answers, in their raw forms and in those of FlashRAG and Search-R1.

HotpotQA, 2WikiMultihopQA   _id, question, answer, type, level, supporting_facts [[title, i]]
MuSiQue                     id, question, answer, answer_aliases, answerable, paragraphs [...]
NQ-open                     question, answer [...]
TriviaQA                    Data [{Question, QuestionId, Answer {NormalizedAliases, ...}}]
FlashRAG, Search-R1         id, question, golden_answers [...], data_source or metadata
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrl.envs.questions.files import read_rows
from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question, QuestionSet
from agentrl.envs.questions.row import Row, texts_of
from agentrl.errors import DataError

GOLDS = ("golden_answers", "answers", "answer", "reward_model.ground_truth.target")


def read(row: Row) -> Question | None:
    """Read a row of any of the forms; unanswerable questions of MuSiQue are left out."""
    if row.get("answerable") is False:
        return None
    question = row.need_text("question", "prompt.content")
    more = row.inner("metadata")
    answers = _answers(row)
    if not answers:
        raise DataError(f"{row.place} has no answer in {', '.join(map(repr, GOLDS))}.")
    metadata = {
        "supporting_titles": _supporting_titles(row),
        "answer_id": row.text("answer_id"),
    }
    return Question(
        id=row.id_or_hash(question, "id", "_id", "questionid", "question_id"),
        question=question,
        answers=answers,
        level=row.text("level") or more.text("level"),
        category=row.text("type") or more.text("type") or row.text("data_source"),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _answers(row: Row) -> tuple[str, ...]:
    value = row.need(*GOLDS)
    if isinstance(value, Mapping):  # TriviaQA
        answer = Row(value, row.place, row.folder)
        found = texts_of(answer.get("normalizedaliases")) + texts_of(answer.get("humananswers"))
        return tuple(dict.fromkeys(found)) or texts_of(answer.get("value"))
    return tuple(dict.fromkeys(texts_of(value) + texts_of(row.get("answer_aliases"))))


def _supporting_titles(row: Row) -> list[str]:
    """Return the titles of the passages that hold the answer, as far as the form says."""
    titles: Any = row.get("supporting_titles")
    if titles is None and isinstance(facts := row.get("supporting_facts"), list):
        titles = [fact[0] for fact in facts]
    elif titles is None and isinstance(facts, Mapping):  # columns instead of pairs, as on the hub
        titles = facts.get("title")
    if titles is None:
        paragraphs = row.get("paragraphs") or []
        titles = [part["title"] for part in paragraphs if part.get("is_supporting")]
    return list(texts_of(titles))


def with_aliases(questions: QuestionSet, path: Path) -> QuestionSet:
    """Add the aliases that 2WikiMultihopQA keeps in a file of its own (`id_aliases.json`).

    Raises:
        DataError: the file has no `Q_id` and `aliases`.
    """
    aliases = {row.need_text("q_id"): texts_of(row.get("aliases")) for row in read_rows(path)}
    rows = []
    for row in questions:
        answers = row.answers + aliases.get(row.metadata.get("answer_id", ""), ())
        rows.append(dataclasses.replace(row, answers=tuple(dict.fromkeys(answers))))
    return dataclasses.replace(questions, questions=tuple(rows))


def _form(
    name: str,
    title: str,
    source: str,
    files: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    scorer: str = "qa",
) -> QuestionForm:
    """Describe a set; every split may also lie under its own name, as FlashRAG has them."""
    return QuestionForm(
        name=name,
        title=title,
        source=source,
        files={
            split: (*stems, split, f"{split}-*", f"data/{split}-*")
            for split, stems in files.items()
        },
        read=read,
        scorer=scorer,
        sizes={split: {"all": count} for split, count in sizes.items()},
    )


_FLASHRAG = "https://huggingface.co/datasets/RUC-NLPIR/FlashRAG_datasets"

FORMS = (
    _form(
        "hotpotqa",
        "HotpotQA",
        f"https://hotpotqa.github.io or {_FLASHRAG} (hotpotqa)",
        {"dev": ("hotpot_dev_*", "hotpotqa_dev*"), "train": ("hotpot_train_*", "hotpotqa_train*")},
        {"dev": 7405, "train": 90447},
    ),
    _form(
        "2wikimultihopqa",
        "2WikiMultihopQA",
        f"https://github.com/Alab-NII/2wikimultihop or {_FLASHRAG} (2wikimultihopqa)",
        {"dev": (), "train": (), "test": ()},
        {"dev": 12576},
    ),
    _form(
        "musique",
        "MuSiQue",
        f"https://github.com/StonyBrookNLP/musique or {_FLASHRAG} (musique)",
        {"dev": ("musique_ans_v1.0_dev", "musique_dev*"), "train": ("musique_*train*",)},
        {"dev": 2417, "train": 19938},
        scorer="musique",
    ),
    _form(
        "nq",
        "Natural Questions, open form",
        "https://github.com/google-research-datasets/natural-questions (nq_open) or "
        f"{_FLASHRAG} (nq)",
        {"dev": ("NQ-open.dev", "NQ-open.efficientqa.dev*", "nq_open_dev", "test"), "train": ()},
        {"dev": 3610, "train": 87925},
    ),
    _form(
        "triviaqa",
        "TriviaQA",
        f"https://nlp.cs.washington.edu/triviaqa or {_FLASHRAG} (triviaqa)",
        {"dev": ("unfiltered-web-dev", "qa/*-dev", "test"), "train": ("unfiltered-web-train",)},
        {"dev": 11313},
        scorer="triviaqa",
    ),
    _form("popqa", "PopQA", f"{_FLASHRAG} (popqa)", {"test": ()}, {"test": 14267}),
    _form(
        "bamboogle",
        "Bamboogle",
        f"https://github.com/ofirpress/self-ask or {_FLASHRAG} (bamboogle)",
        {"test": ("bamboogle*", "Bamboogle*")},
        {"test": 125},
    ),
    _form(
        "open_qa",
        "open questions with several accepted answers",
        "any file with `question` and `golden_answers`",
        {"test": ("open_qa*",), "train": ()},
        {},
    ),
)
