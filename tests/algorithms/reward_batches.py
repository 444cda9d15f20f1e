"""Small batches of turns for the reward family, in both layouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from agentrl.algorithms import Batch, Stat


def played(
    turns: Sequence[Sequence[Sequence[int]]],
    groups: Sequence[int],
    *,
    returns: Sequence[float] = (),
    answers: Sequence[str | None] = (),
    layout: str = "full",
) -> Batch:
    """Build a batch of episodes from the token ids of their turns.

    `full` has a row per episode, `window` a row per turn.  The old entropy of a token is a tenth
    of its id.
    """
    rows = [
        (episode, [(number, token) for number, turn in enumerate(taken) for token in turn])
        for episode, taken in enumerate(turns)
    ]
    if layout == "window":
        rows = [
            (episode, [(number, token) for token in turn])
            for episode, taken in enumerate(turns)
            for number, turn in enumerate(taken)
        ]
    width = max(len(tokens) for _, tokens in rows)
    filled = [tokens + [(-1, 0)] * (width - len(tokens)) for _, tokens in rows]
    numbers = torch.tensor([[turn for turn, _ in tokens] for tokens in filled])
    ids = torch.tensor([[token for _, token in tokens] for tokens in filled])
    owner = torch.tensor([episode for episode, _ in rows])
    given = [answer for answer in answers if answer is not None]
    texts = tuple(dict.fromkeys(given))
    told = [-1 if a is None else texts.index(a) for a in answers] or [-1] * len(turns)
    paid = torch.tensor(list(returns) or [0.0] * len(turns), dtype=torch.float64)
    return Batch(
        mask_BT=(numbers >= 0).double(),
        groups_B=torch.tensor(groups)[owner],
        episodes_B=owner,
        returns_B=paid[owner],
        turns_BT=numbers,
        ids_BT=ids,
        answers_B=torch.tensor(told)[owner],
        texts=texts,
        components={"success": (paid >= 1).double()[owner]},
        token_text=lambda token: f" Word{token}",
        stats={Stat.OLD_ENTROPY: ids.double() / 10},
    )


def answered(answers: Sequence[str | None], groups: Sequence[int] = ()) -> Batch:
    """Build one-token episodes with these final answers, by default all of one group."""
    turns = [[[number + 1]] for number in range(len(answers))]
    return played(turns, list(groups) or [0] * len(answers), answers=answers)
