"""GAIA (Mialon et al., GAIA: a benchmark for General AI Assistants; gaia-benchmark/GAIA).

The old release has `2023/<split>/metadata.jsonl`, the one of October 2025 `metadata.parquet`;
attachments lie beside it.  Copies call the columns differently.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question
from agentrl.envs.questions.row import Row

HIDDEN = "?"
"""What the test split has in the place of answers."""


def read(row: Row) -> Question:
    """Read a row of any release."""
    answer = row.need_text("final_answer", "answer")
    question = row.need_text("question")
    name = PurePosixPath(row.text("file_name") or row.text("file_path")).name
    return Question(
        id=row.id_or_hash(question, "task_id", "id"),
        question=question,
        answers=() if answer == HIDDEN else (answer,),
        level=row.text("level", "task"),
        file=str(row.folder / name) if name else "",
        metadata={"annotator": row.get("annotator_metadata") or {}},
    )


def _files(split: str) -> tuple[str, ...]:
    return (f"2023/{split}/metadata", f"{split}/metadata", split)


GAIA = QuestionForm(
    name="gaia",
    title="GAIA",
    source="https://huggingface.co/datasets/gaia-benchmark/GAIA (gated: accept its terms, then "
    "`hf download gaia-benchmark/GAIA --repo-type dataset --local-dir DIR`)",
    files={split: _files(split) for split in ("validation", "test")},
    read=read,
    scorer="gaia",
    sizes={
        "validation": {"all": 165, "1": 53, "2": 86, "3": 26},
        "text-only validation": {"all": 103, "1": 39, "2": 52, "3": 12},
        "test": {"all": 301},
    },
    private=True,
)
