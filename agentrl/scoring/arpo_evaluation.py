r"""ARPO's evaluation metrics, which differ from its reward: punctuation is kept.

Published tables of ARPO and AEPO report an LLM judge; these are the numbers beside it.

Source: RUC-NLPIR/ARPO:evaluation/src/metrics.py and utils.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentrl.scoring.boxed import closing_brace
from agentrl.scoring.hendrycks import hendrycks_equal
from agentrl.scoring.normalise import normalise_keeping_punctuation
from agentrl.scoring.overlap import overlap
from agentrl.scoring.qa import Golds


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpoMetrics:
    """A prediction compared with the references; each number is the best over them.

    Attributes:
        em: equal.
        acc: the reference is contained in the prediction.
        f1: of tokens.
        math_equal: equal as LaTeX, after the normalisation of the MATH data set.
    """

    em: float = 0.0
    acc: float = 0.0
    f1: float = 0.0
    math_equal: float = 0.0


def arpo_metrics(prediction: str, references: Golds) -> ArpoMetrics:
    """Return the metrics of a question answered in words.

    Args:
        prediction: see `arpo_answer`.
        references: accepted answers; a string that begins with `[` is a list divided by commas.
    """
    if isinstance(references, str) and references.startswith("["):
        references = [part.strip() for part in references.strip("[]").split(",")]
    elif isinstance(references, str):
        references = [references]
    return _best(
        normalise_keeping_punctuation(prediction),
        [normalise_keeping_punctuation(reference) for reference in references],
    )


def arpo_maths_metrics(prediction: str, reference: str) -> ArpoMetrics:
    """Return the metrics of a problem of mathematics; articles are kept too."""
    predicted, wanted = (
        normalise_keeping_punctuation(text, drop_articles=False) for text in (prediction, reference)
    )
    return _best(predicted, [wanted])


def arpo_answer(text: str) -> str:
    r"""Return the content of the last box of the last answer, without a `\text{...}` around it.

    An answer without a box is returned as it is; without an answer block the whole text is looked
    through for a box.  Empty if nothing is found.
    """
    before, closing, _ = text.rpartition("</answer>")
    _, opening, block = before.rpartition("<answer>") if closing else ("", "", "")
    if not (opening and block):
        return _unboxed(text)
    return _unboxed(block) or block


def _unboxed(text: str) -> str:
    text = text.strip()
    start = text.rfind("\\boxed")
    if start < 0 and (start := text.rfind("\\fbox")) < 0:
        return ""
    end = closing_brace(text, start)
    box = text[start:] if end is None else text[start : end + 1]
    return _unwrapped(_unwrapped(box, "\\boxed{"), "\\text{") if box.startswith("\\boxed{") else box


def _unwrapped(text: str, command: str) -> str:
    wrapped = text.startswith(command) and text.endswith("}")
    return text[len(command) : -1] if wrapped else text


def _best(prediction: str, references: Sequence[str]) -> ArpoMetrics:
    tokens = prediction.split()
    return ArpoMetrics(
        em=float(prediction in references),
        acc=float(any(reference in prediction for reference in references)),
        f1=max((overlap(tokens, each.split()).f1 for each in references), default=0.0),
        math_equal=float(any(hendrycks_equal(prediction, each) for each in references)),
    )
