"""An episode's valid tokens in the order they were sampled, across its rows.

Discounting and bootstrapping run along this line, so tokens that are masked, and the cut between
two rows of one episode, are stepped over as if they were not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch
from agentrl.algorithms.episodes import episode_index


@dataclass(frozen=True, slots=True)
class Timeline:
    """Valid tokens of a batch, episode by episode; E episodes, L tokens of the longest.

    Attributes:
        index_EL: position in the flattened [B * T] tensors, 0 at padding.
        present_EL: bool, False at padding (on the right).
        shape: (B, T).
    """

    index_EL: Tensor
    present_EL: Tensor
    shape: tuple[int, int]

    def gather(self, values_BT: Tensor) -> Tensor:
        """Return the values along the line [E, L], 0 at padding."""
        values_EL = values_BT.reshape(-1)[self.index_EL]
        return torch.where(self.present_EL, values_EL, values_EL.new_zeros(()))

    def scatter(self, values_EL: Tensor) -> Tensor:
        """Return the values at their places [B, T], 0 at masked positions."""
        rows, width = self.shape
        flat = values_EL.new_zeros(rows * width)
        flat[self.index_EL[self.present_EL]] = values_EL[self.present_EL]
        return flat.reshape(rows, width)

    def last(self) -> Tensor:
        """Return bool [E, L]: True at the last token of each episode."""
        after_EL = torch.zeros_like(self.present_EL)
        after_EL[:, :-1] = self.present_EL[:, 1:]
        return self.present_EL & ~after_EL


def timeline(batch: Batch) -> Timeline:
    """Lay out the valid tokens; rows of an episode follow each other by their first turn."""
    episode_B, episodes = episode_index(batch)
    valid_BT = batch.valid_BT
    late = torch.iinfo(torch.int64).max
    first_turn_B = torch.where(valid_BT, batch.turns_BT.long(), late).amin(-1)
    order_B = torch.argsort(first_turn_B, stable=True)
    order_B = order_B[torch.argsort(episode_B[order_B], stable=True)]
    row, column = valid_BT[order_B].nonzero(as_tuple=True)
    flat = order_B[row] * valid_BT.shape[1] + column
    token_episode = episode_B[order_B][row]
    count_E = torch.bincount(token_episode, minlength=episodes)
    start_E = count_E.cumsum(0) - count_E
    step = torch.arange(len(flat), device=flat.device) - start_E[token_episode]
    longest = int(count_E.max()) if len(flat) else 0
    index_EL = flat.new_zeros(episodes, longest)
    present_EL = torch.zeros_like(index_EL, dtype=torch.bool)
    index_EL[token_episode, step] = flat
    present_EL[token_episode, step] = True
    rows, width = valid_BT.shape
    return Timeline(index_EL, present_EL, (rows, width))


def token_rewards(batch: Batch) -> Tensor:
    """Return rewards per token [B, T]; without any, the episode's return at its last token."""
    if batch.rewards_BT is not None:
        return batch.rewards_BT
    return at_last_token(batch, batch.returns_B)


def at_last_token(batch: Batch, values_B: Tensor) -> Tensor:
    """Return [B, T] with each episode's value at its last valid token and 0 elsewhere."""
    line = timeline(batch)
    spread_BT = values_B.unsqueeze(-1).expand(line.shape)
    return line.scatter(line.gather(spread_BT) * line.last())
