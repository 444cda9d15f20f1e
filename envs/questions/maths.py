"""Mathematics with a final answer, in the forms that local copies of the sets have.

GSM8K, SVAMP                question, answer `... #### 72`; Body + Question, Answer 145.0
MATH, Minerva               problem, solution: the last box of it
MATH-500, AIME, AMC 23      problem or question, answer: text, 70 or 27.0
OlympiadBench               context, question, final_answer [...], error: the tolerance
DAPO-17k                    prompt [{content}], reward_model {ground_truth}
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentrl.envs.questions.form import QuestionForm
from agentrl.envs.questions.question import Question
from agentrl.envs.questions.row import Row, text_of, texts_of
from agentrl.errors import DataError
from agentrl.scoring.boxed import last_boxed

FINAL = "####"
"""What stands before the answer at the end of a worked solution."""

_ANSWERS = ("final_answer", "answer", "reward_model.ground_truth", "solution")
_UNIT = re.compile(r"(-?[\d.,:/]+) \([^()]*\)")
_LEVEL = re.compile(r"level\s+", re.IGNORECASE)


def read(row: Row) -> Question:
    """Read a row of any of the forms."""
    asked = row.need_text("problem", "question", "prompt.content", "prompt")
    question = "\n".join(part for part in (row.text("context"), row.text("body"), asked) if part)
    metadata = {
        "tolerance": row.text("error"),
        "unit": row.text("unit"),
        "answer_type": row.text("answer_type"),
        "several_answers": bool(row.get("is_multiple_answer")),
    }
    return Question(
        id=row.id_or_hash(question, "unique_id", "id", "idx", "extra_info.index"),
        question=question,
        answers=(_answer(row),),
        level=_LEVEL.sub("", row.text("level")),
        category=row.text("type", "subject", "subfield"),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _answer(row: Row) -> str:
    value = row.need(*_ANSWERS)
    text = ", ".join(texts_of(value)) if isinstance(value, list) else text_of(value)
    if FINAL in text:
        answer = text.rpartition(FINAL)[2].strip().replace(",", "")
    elif row.get(*_ANSWERS[:-1]) is None:
        answer = (last_boxed(text) or "").strip()
    else:
        answer = _bare(text)
    if not answer:
        raise DataError(
            f"{row.place} has no answer: {', '.join(map(repr, _ANSWERS[:-1]))} are looked for, "
            f"then the last \\boxed{{}} or what follows the last {FINAL} of 'solution'."
        )
    return answer


def _bare(text: str) -> str:
    """Return an answer without the `$` around it and without a unit behind it, `9 (apples)`."""
    if len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1]:
        text = text[1:-1].strip()
    unit = _UNIT.fullmatch(text)
    return unit[1] if unit else text


def _form(
    name: str,
    title: str,
    source: str,
    files: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    *,
    repeated: bool = False,
) -> QuestionForm:
    return QuestionForm(
        name=name,
        title=title,
        source=source,
        files={
            split: (*stems, split, f"data/{split}-*", f"main/{split}-*")
            for split, stems in files.items()
        },
        read=read,
        scorer="maths",
        sizes={split: {"all": count} for split, count in sizes.items()},
        repeated=repeated,
    )


_HUB = "https://huggingface.co/datasets"
_QWEN = "https://github.com/QwenLM/Qwen2.5-Math (evaluation/data"

FORMS = (
    _form(
        "gsm8k",
        "GSM8K",
        "https://github.com/openai/grade-school-math (grade_school_math/data)",
        {"test": ("gsm8k_test",), "train": ("gsm8k_train",)},
        {"test": 1319, "train": 7473},
    ),
    _form(
        "math",
        "MATH",
        "https://github.com/hendrycks/math as JSON lines, for example "
        f"{_HUB}/DigitalLearningGmbH/MATH-lighteval",
        {"test": ("math_test",), "train": ("math_train",)},
        {"test": 5000, "train": 7500},
    ),
    _form(
        "math500",
        "MATH-500",
        f"{_HUB}/HuggingFaceH4/MATH-500",
        {"test": ("math500",)},
        {"test": 500},
    ),
    _form(
        "aime24",
        "AIME 2024",
        f"{_HUB}/HuggingFaceH4/aime_2024",
        {"test": ("aime24", "data/train-*")},
        {"test": 30},
    ),
    _form("aime25", "AIME 2025", f"{_HUB}/math-ai/aime25", {"test": ("aime25",)}, {"test": 30}),
    _form("amc23", "AMC 2023", f"{_QWEN}/amc23)", {"test": ("amc23",)}, {"test": 40}),
    _form("minerva", "Minerva", f"{_QWEN}/minerva_math)", {"test": ("minerva*",)}, {"test": 272}),
    _form(
        "olympiadbench",
        "OlympiadBench, open English text problems of mathematics",
        f"{_QWEN}/olympiadbench)",
        {"test": ("olympiadbench*",)},
        {"test": 675},
    ),
    _form(
        "dapo17k",
        "DAPO-Math-17k",
        f"{_HUB}/BytedTsinghua-SIA/DAPO-Math-17k",
        {"train": ("dapo-math-17k", "data/dapo-math-17k*")},
        {},
        repeated=True,
    ),
    _form("svamp", "SVAMP", f"{_QWEN}/svamp)", {"test": ("svamp*",)}, {"test": 1000}),
    _form("asdiv", "ASDiv", f"{_QWEN}/asdiv)", {"test": ("asdiv*",)}, {}),
    _form(
        "gaokao2023en", "Gaokao 2023, English", f"{_QWEN}/gaokao2023en)", {"test": ("gaokao*",)}, {}
    ),
)
