"""Search-R1's rewards: the right answer, and in version 0.3 also the order of the tags.

The released functions read prompt and response as one ChatML text.  They want two answer blocks,
because the prompt holds an example, and find no valid order once an end-of-turn token follows the
answer.  `search_r1_reward` reads the response alone and has neither trap; `official_reward` is for
comparing with published numbers.

Sources: PeterGriffinJin/Search-R1:verl/utils/reward_score/qa_em.py and qa_em_format.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentrl.scoring.normalise import normalise
from agentrl.scoring.qa import Golds, as_golds, exact_match, zerosearch_f1
from agentrl.scoring.tags import blocks, last_block

END_OF_TURN = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")
"""Cut off the end of a response before its order is checked."""

_ASSISTANT = "<|im_start|>assistant"
_TAG = re.compile(r"<(/?)(think|search|information|answer)>")
_FOLLOWERS = {
    "": ("think",),
    "think": ("search", "answer"),
    "search": ("information",),
    "information": ("think",),
    "answer": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatScores:
    """What form is worth; the defaults are those of the scripts of version 0.3.

    Attributes:
        structure: a valid order of tags without the right answer; also taken off for a right
            answer in an invalid order.
        final: an answer, though wrong and in an invalid order.
        retrieval: added to `structure` if some result contains a gold answer.
    """

    structure: float = 0.2
    final: float = 0.1
    retrieval: float = 0.0


def search_r1_reward(
    response: str, golds: Golds, format_scores: FormatScores | None = None
) -> float:
    """Return the reward of a response, results of searches included.

    Args:
        response: what follows the prompt; its last `<answer>` counts.
        golds: accepted answers, compared by exact match.
        format_scores: None rewards the answer alone, with 0 or 1.
    """
    stripped = _without_end_of_turn(response)
    answer = last_block(stripped, "answer")
    return _reward(answer, stripped, is_valid_sequence(stripped), golds, format_scores)


def official_reward(text: str, golds: Golds, format_scores: FormatScores | None = None) -> float:
    """Return the reward of the released code for a prompt and its response as one ChatML text."""
    return _reward(official_answer(text), text, official_is_valid(text), golds, format_scores)


def official_answer(text: str) -> str | None:
    """Return the last answer block of a text with two or more of them; else None."""
    return last_block(text, "answer") if sum(1 for _ in blocks(text, "answer")) > 1 else None


def official_is_valid(text: str) -> bool:
    """Say whether the tags after the first mark of an assistant's turn are in a valid order."""
    _, mark, response = text.partition(_ASSISTANT)
    return bool(mark) and is_valid_sequence(response)


def is_valid_sequence(response: str) -> bool:
    """Say whether a response is think (search information think)* answer and nothing else.

    Only whitespace may stand between the blocks and after the last.
    """
    closed, opened, end = "", "", 0
    for match in _TAG.finditer(response):
        slash, tag = match.groups()
        if opened:
            if not slash or tag != opened:
                return False
            closed, opened = tag, ""
        else:
            between = response[end : match.start()]
            if slash or tag not in _FOLLOWERS[closed] or between.strip():
                return False
            opened = tag
        end = match.end()
    return closed == "answer" and not opened and not response[end:].strip()


def is_retrieved(text: str, golds: Golds) -> bool:
    """Say whether a gold answer stands in some information block, both normalised."""
    wanted = [normalise(gold) for gold in as_golds(golds)]
    found = (normalise(block) for block in blocks(text, "information"))
    return any(gold in block for block in found for gold in wanted)


def zerosearch_reward(response: str, golds: Golds) -> float:
    """Return ZeroSearch's reward, token F1 of the answer, for a response in the same tags.

    Source: Alibaba-NLP/ZeroSearch:verl/utils/reward_score/qa_em.py.
    """
    answer = last_block(response, "answer")
    return 0.0 if answer is None else zerosearch_f1(answer, golds)


def _reward(
    answer: str | None, text: str, valid: bool, golds: Golds, scores: FormatScores | None
) -> float:
    right = answer is not None and exact_match(answer, golds) == 1
    if scores is None:
        return float(right)
    if right:
        return 1.0 if valid else 1.0 - scores.structure
    if valid:
        return scores.structure + scores.retrieval * is_retrieved(text, golds)
    return 0.0 if answer is None else scores.final


def _without_end_of_turn(response: str) -> str:
    end = len(response)
    while True:
        while end and response[end - 1].isspace():
            end -= 1
        mark = next((mark for mark in END_OF_TURN if response.endswith(mark, 0, end)), None)
        if mark is None:
            return response[:end]
        end -= len(mark)
