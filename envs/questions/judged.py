"""Sets whose answers a model judges: HLE, BrowseComp, xbench-DeepSearch and SimpleQA.

BrowseComp and xbench are published encrypted, each row with its own key (`canary`); rows without
one are read as they are.  Nothing decrypted is written anywhere.

Sources: openai/simple-evals:browsecomp_eval.py and simpleqa_eval.py, xbench-ai/xbench-evals,
centerforaisafety/hle.
"""

from __future__ import annotations

import ast
import base64
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question
from agentrl.envs.questions.row import Row, text_of
from agentrl.errors import DataError
from agentrl.scoring.cipher import xor_decrypt


def read_hle(row: Row) -> Question:
    """Read a row of Humanity's Last Exam; the image itself is not kept."""
    question = row.need_text("question")
    return Question(
        id=row.id_or_hash(question),
        question=question,
        answers=(row.need_text("answer"),),
        category=row.text("category"),
        metadata={
            "answer_type": row.text("answer_type"),
            "raw_subject": row.text("raw_subject"),
            "has_image": bool(row.get("image")),
        },
    )


def read_browsecomp(row: Row) -> Question:
    """Read a row of BrowseComp."""
    plain = _decrypted(row, xor_decrypt, "problem", "question")
    return Question(
        id=row.id_or_hash(plain),
        question=plain,
        answers=(_decrypted(row, xor_decrypt, "answer"),),
        category=row.text("problem_topic"),
    )


def read_xbench(row: Row) -> Question:
    """Read a row of xbench-DeepSearch."""
    plain = _decrypted(row, xor_with_text, "prompt", "question", "problem")
    return Question(
        id=row.id_or_hash(plain),
        question=plain,
        answers=(_decrypted(row, xor_with_text, "answer"),),
        category=row.text("type"),
    )


def read_simpleqa(row: Row) -> Question:
    """Read a row of SimpleQA, whose topic and answer type stand in a column of their own."""
    question = row.need_text("problem", "question")
    described = _described(row.get("metadata"))
    return Question(
        id=row.id_or_hash(question),
        question=question,
        answers=(row.need_text("answer"),),
        category=text_of(described.get("topic")),
        metadata={"answer_type": text_of(described.get("answer_type"))},
    )


def xor_with_text(ciphertext: str, key: str) -> str:
    """Return the text of a Base64 string after XOR with the key's own bytes, repeated."""
    data = base64.b64decode(ciphertext, validate=True)
    mixed = zip(data, itertools.cycle(key.encode()), strict=False)
    return bytes(byte ^ other for byte, other in mixed).decode()


def _decrypted(row: Row, decrypt: Callable[[str, str], str], *names: str) -> str:
    text, key = row.need_text(*names), row.text("canary")
    if not key:
        return text
    try:
        plain = decrypt(text, key).strip()
    except ValueError as error:
        raise DataError(
            f"{row.place}: {names[0]!r} cannot be decrypted with the row's canary; take the file "
            "as it was published, or leave the column `canary` out if it is decrypted already."
        ) from error
    if not plain:
        raise DataError(f"{row.place} has nothing in {names[0]!r}.")
    return plain


def _described(value: Any) -> Mapping[str, Any]:
    """Return a mapping that was written with Python's `repr`."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return {}
    return value if isinstance(value, Mapping) else {}


HLE = QuestionForm(
    name="hle",
    title="Humanity's Last Exam",
    source="https://huggingface.co/datasets/cais/hle (gated)",
    files={"test": ("test", "data/test-*", "hle*")},
    read=read_hle,
    scorer="hle",
    sizes={"all": {"all": 2500}, "text-only sample": {"all": 500}},
    private=True,
)

BROWSECOMP = QuestionForm(
    name="browsecomp",
    title="BrowseComp",
    source="https://openaipublic.blob.core.windows.net/simple-evals/browse_comp_test_set.csv",
    files={"test": ("browse_comp_test_set", "test", "browsecomp*")},
    read=read_browsecomp,
    scorer="browsecomp",
    sizes={"all": {"all": 1266}},
    private=True,
)

XBENCH = QuestionForm(
    name="xbench",
    title="xbench-DeepSearch",
    source="https://github.com/xbench-ai/xbench-evals (data/DeepSearch.csv)",
    files={"test": ("DeepSearch", "data/DeepSearch", "test", "xbench*")},
    read=read_xbench,
    scorer="arpo",
    sizes={"all": {"all": 100}, "the 99 of ARPO": {"all": 99}},
    private=True,
)

SIMPLEQA = QuestionForm(
    name="simpleqa",
    title="SimpleQA",
    source="https://openaipublic.blob.core.windows.net/simple-evals/simple_qa_test_set.csv",
    files={"test": ("simple_qa_test_set", "test", "simpleqa*")},
    read=read_simpleqa,
    scorer="simpleqa",
    sizes={"all": {"all": 4326}, "the 500 of ARPO": {"all": 500}},
)
