"""Ways to make answers comparable as text; which one a metric uses is part of its definition."""

from __future__ import annotations

import re
import string

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_DELETE = str.maketrans("", "", string.punctuation)
_BLANK = str.maketrans(dict.fromkeys(string.punctuation, " "))
_BLANK_AND_QUOTES = _BLANK | str.maketrans(dict.fromkeys("‘’´`", " "))


def normalise(text: str) -> str:
    """Normalise as SQuAD, HotpotQA and most others do.

    Lower case, then ASCII punctuation deleted, then articles, then extra spaces.  The order counts:
    "A-Team" becomes "ateam" and keeps its A.

    Source: hotpotqa/hotpot:hotpot_evaluate_v1.py.
    """
    return _spaced(_ARTICLES.sub(" ", text.lower().translate(_DELETE)))


def normalise_triviaqa(text: str) -> str:
    """Normalise as TriviaQA does: like `normalise`, but punctuation becomes a space.

    So do underscores and the quotes ‘ ’ ´ `.

    Source: mandarjoshi90/triviaqa:evaluation/triviaqa_evaluation.py.
    """
    return _spaced(_ARTICLES.sub(" ", text.lower().translate(_BLANK_AND_QUOTES)))


def normalise_keeping_articles(text: str) -> str:
    """Normalise as DeepResearcher does: lower case, ASCII punctuation becomes a space.

    Source: GAIR-NLP/DeepResearcher:verl/utils/reward_score/format_and_f1.py.
    """
    return _spaced(text.lower().translate(_BLANK))


def normalise_keeping_punctuation(text: str, *, drop_articles: bool = True) -> str:
    """Normalise as ARPO's evaluation does, which keeps punctuation though its reward does not.

    Source: RUC-NLPIR/ARPO:evaluation/src/metrics.py.
    """
    text = text.lower()
    return _spaced(_ARTICLES.sub(" ", text) if drop_articles else text)


def _spaced(text: str) -> str:
    return " ".join(text.split())
