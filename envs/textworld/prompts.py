"""How TextWorld is shown to a model."""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.envs.base import Info, ParsedAction, Prompt


@dataclass(frozen=True, slots=True)
class CompactPrompt:
    """The fewest tokens: the goal, then bare observations; the model answers with a bare command.

    Attributes:
        show_goal: the goal sentence is the system message.
        show_actions: each observation is followed by the admissible actions.
        stop_strings: a newline ends the model's turn.
    """

    show_goal: bool = True
    show_actions: bool = False
    stop_strings: tuple[str, ...] = ("\n",)

    def system(self, info: Info) -> str | None:
        """Return the goal sentence."""
        return str(info["task"]) if self.show_goal else None

    def observe(self, observation: str, info: Info) -> str:
        """Return the observation, with the admissible actions if asked for."""
        actions = info.get("admissible_actions")
        if not self.show_actions or not actions:
            return observation
        return f"{observation}\nActions: {', '.join(actions)}"

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read the first non-empty line as the command."""
        lines = text.strip().splitlines()
        return _judge(lines[0].strip() if lines else "", info)


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """Full instructions for an instruction-tuned model.

    Attributes:
        show_actions: each observation lists the admissible actions.
        stop_strings: the closing tag ends the model's turn.
    """

    show_actions: bool = True
    stop_strings: tuple[str, ...] = ("</action>",)

    def system(self, info: Info) -> str | None:
        """Return role, goal and answer format."""
        return (
            "You control an agent in a text adventure game.\n"
            f"Goal: {info['task']}\n"
            "Think first between <think> and </think>. Then give exactly one action between "
            "<action> and </action>."
        )

    def observe(self, observation: str, info: Info) -> str:
        """Return the observation and the admissible actions, one per line."""
        step = int(info.get("step", 0)) + 1
        shown = f"Step {step}. You now observe:\n{observation}"
        actions = info.get("admissible_actions")
        if self.show_actions and actions:
            shown += "\nActions you can take now:\n" + "\n".join(f"'{a}'" for a in actions)
        return shown

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Read the first `<action>`; its closing tag may be missing where it stopped the turn.

        Without a tag the last 30 characters are sent and the action is not valid (the rule of
        langfengQ/verl-agent, projection.py for ALFWorld).
        """
        _, opened, rest = text.partition("<action>")
        if not opened:
            return ParsedAction(text.strip()[-30:].strip(), False, "no <action> tag")
        return _judge(rest.partition("</action>")[0].strip().strip("'\""), info)


def _judge(action: str, info: Info) -> ParsedAction:
    """Mark an action that is empty or not admissible; it is sent all the same."""
    admissible = info.get("admissible_actions")
    if not action:
        return ParsedAction(action, False, "empty action")
    if admissible is not None and action not in admissible:
        return ParsedAction(action, False, "not an admissible action")
    return ParsedAction(action)


PROMPTS: dict[str, Prompt] = {"compact": CompactPrompt(), "chat": ChatPrompt()}
"""The prompt variants by name."""
