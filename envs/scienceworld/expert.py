"""Following the simulator's own solution of a task."""

from __future__ import annotations

from collections.abc import Sequence


class GoldPath:
    """Where an episode is on the simulator's solution.

    While the episode follows the solution, or does what changes nothing that can be seen, the next
    action is the solution's.  After a detour there is none until the episode comes back to a state
    it was in while it followed.

    Args:
        actions: the solution.
        anchor: text of the initial state, equal for equal states.
    """

    def __init__(self, actions: Sequence[str], anchor: str) -> None:
        self.actions = tuple(actions)
        self._done = 0
        self._places = {anchor: 0}
        self._lost = False

    @property
    def next_action(self) -> str | None:
        """The next action of the solution; None at its end and after a detour."""
        if self._lost or self._done >= len(self.actions):
            return None
        return self.actions[self._done]

    def took(self, action: str, anchor: str) -> None:
        """Note an action and the state it led to."""
        if action == self.next_action:
            self._done += 1
            self._places[anchor] = self._done
        elif anchor in self._places:
            self._done, self._lost = self._places[anchor], False
        else:
            self._lost = True

    def copy(self) -> GoldPath:
        """Return an independent copy."""
        twin = GoldPath(self.actions, "")
        twin._done, twin._lost, twin._places = self._done, self._lost, dict(self._places)
        return twin
