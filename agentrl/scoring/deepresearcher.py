"""DeepResearcher's reward: F1 over the sets of words, or -1 for a response without form.

Source: GAIR-NLP/DeepResearcher:verl/utils/reward_score/format_and_f1.py.
"""

from __future__ import annotations

from agentrl.scoring.normalise import normalise_keeping_articles
from agentrl.scoring.overlap import overlap
from agentrl.scoring.qa import Golds, as_golds, best_f1
from agentrl.scoring.tags import blocks

NO_FORM = -1.0
_TAGS = ("tool_call", "think", "answer")


def deepresearcher_reward(response: str, golds: Golds, *, exact: bool = False) -> float:
    """Return the reward of a response.

    Args:
        response: its first answer block counts; tags may be in any case.
        golds: accepted answers.
        exact: compare whole answers, for 0 or 1, instead of their words.
    """
    lowered = response.lower()
    answer = next(blocks(lowered, "answer"), None)
    if answer is None or not all(_is_paired(lowered, tag) for tag in _TAGS):
        return NO_FORM
    answer = normalise_keeping_articles(answer)
    wanted = [normalise_keeping_articles(gold) for gold in as_golds(golds)]
    if exact:
        return float(answer in wanted)
    words = set(answer.split())
    return best_f1(overlap([*words], [*set(gold.split())]) for gold in wanted)


def _is_paired(text: str, tag: str) -> bool:
    """Say whether a tag is closed as often as opened, and never before it is opened."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    if text.count(opening) != text.count(closing):
        return False
    end = 0
    while (start := text.find(opening, end)) >= 0:
        if (end := text.find(closing, start)) < 0:
            return False
    return True
