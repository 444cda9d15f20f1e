"""Templates for prompt augmentation: what they ask for, and how a response's format is scored."""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.errors import ConfigError

VERSION = 1
"""Changes with every wording, so that runs with other wordings can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A wording, and the format it asks for.

    Attributes:
        name: goes with the sample to the reward.
        instruction: system text; empty for none.
        before: what stands above the question.
        after: what stands below it.
        prefill: how the answer begins; these tokens are given, not sampled and not trained.
        pieces: texts that must each occur exactly once in what is sampled.
    """

    name: str
    instruction: str = ""
    before: str = ""
    after: str = ""
    prefill: str = ""
    pieces: tuple[str, ...] = ()

    def question(self, text: str) -> str:
        """Return the user's message for a question."""
        return "\n".join(part for part in (self.before, text, self.after) if part)

    def system(self, text: str | None = None) -> str:
        """Return the system text, after the environment's own.

        A template that asks for an answer format cannot be combined with an environment's
        system text, whose format of actions the parser reads.

        Raises:
            ConfigError: with `text` where the template changes the format.
        """
        if not text:
            return self.instruction
        if self.changes_format:
            raise ConfigError(
                f"template {self.name!r} asks for a format of its own, but the environment's "
                "system text already says how to write an action; use templates that only vary "
                "the wording (`PromptAugmentation(templates=WORDINGS)`)."
            )
        return f"{text}\n\n{self.instruction}" if self.instruction else text

    @property
    def changes_format(self) -> bool:
        """Whether it says more than a system instruction."""
        return bool(self.pieces or self.prefill or self.before or self.after)

    def format_score(self, text: str) -> float:
        """Return the share of pieces that occur exactly once in a response, in [0, 1].

        1 for a template that asks for no format: the same for all rows of a group, so it goes
        away with the group's mean.

        Args:
            text: what was sampled, without the prefill.
        """
        if not self.pieces:
            return 1.0
        return sum(text.count(piece) == 1 for piece in self.pieces) / len(self.pieces)


_BOX = r"Put the final answer in \boxed{}."
_THINK_LINES = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
_THINK_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_CHECKED = (
    "<solution>\n",
    "\n</solution>\n",
    "\n<check>\nLet's verify step by step",
    "\n</check>",
)
_SENTENCE = ("The final answer is:",)

_LINES_ASKED = (
    "Think first, then answer. Write exactly this, each tag on a line of its own:\n"
    "<think>\nyour thoughts\n</think>\n<answer>\nyour answer\n</answer>"
)
_TAGS_ASKED = (
    "Two people talk: one asks, the other thinks about it and then answers. Thoughts stand "
    "between <think> and </think>, the answer between <answer> and </answer>."
)
_CHECK_ASKED = (
    "Solve the problem, then check the solution. Write exactly these parts, each tag on a line of "
    "its own:\n<solution>\nthe solution\n</solution>\n<check>\nLet's verify step by step, and so "
    "on\n</check>\n" + _BOX
)

MATHEMATICS: tuple[Template, ...] = (
    Template(name="abel", before="Problem:", after=f"Explain every step. {_BOX}\nSolution:"),
    Template(
        name="simplerl",
        instruction="You help people with their questions.",
        after=f"Please think step by step. {_BOX}",
    ),
    Template(
        name="qwen-math",
        instruction=f"Solve problems of mathematics step by step. {_BOX}",
    ),
    Template(name="open-r1", instruction=_LINES_ASKED, after=_BOX, pieces=_THINK_LINES),
    Template(
        name="open-r1-teacher",
        instruction=_LINES_ASKED,
        after=_BOX,
        prefill="<think>\n",
        pieces=_THINK_LINES[1:],
    ),
    Template(name="deepseek-r1", before=f"{_TAGS_ASKED} {_BOX}", pieces=_THINK_TAGS),
    Template(
        name="deepseek-r1-teacher",
        before=f"{_TAGS_ASKED} {_BOX}",
        prefill="<think>",
        pieces=_THINK_TAGS[1:],
    ),
    Template(
        name="formal",
        instruction=(
            "Derive the answer formally: name what is given, state every rule before it is used, "
            f"and draw one conclusion per line. {_BOX}"
        ),
    ),
    Template(
        name="lm_eval_prompt1",
        before="Solve the problem below.",
        after=r"End with the sentence: The final answer is: \boxed{answer}",
        pieces=_SENTENCE,
    ),
    Template(
        name="lm_eval_prompt4",
        instruction=(
            "Number the steps of a solution, and close it with one line that reads "
            r"'The final answer is: \boxed{answer}'."
        ),
        before="Question:",
        pieces=_SENTENCE,
    ),
    Template(
        name="lm_eval_prompt8",
        before="Question:",
        after=_BOX,
        prefill="Answer: we take one step after another.",
    ),
    Template(name="reflective_prompt", instruction=_CHECK_ASKED, pieces=_CHECKED),
    Template(
        name="reflective_prompt-teacher",
        instruction=_CHECK_ASKED,
        prefill="<solution>\n",
        pieces=_CHECKED[1:],
    ),
)
"""For questions of mathematics, by the released names and in their order."""

WORDINGS: tuple[Template, ...] = (
    Template(name="bare"),
    Template(name="step-by-step", instruction="Think step by step before you act."),
    Template(
        name="plan",
        instruction="Keep a short plan in mind, and change it when something unexpected happens.",
    ),
    Template(
        name="check",
        instruction="Before you act, check that the action brings you closer to the goal.",
    ),
    Template(
        name="observe",
        instruction="Read every observation to its end, and use what it says that is new.",
    ),
    Template(
        name="brief", instruction="Be brief in your thoughts, and act as soon as you know enough."
    ),
    Template(
        name="recall",
        instruction="Remember what you have already tried, and do not repeat what failed.",
    ),
    Template(
        name="formal",
        instruction="Say what you know, say what follows from it, and then act on it.",
    ),
)
"""For environments: they add to the system text and leave the format of actions as it is."""
