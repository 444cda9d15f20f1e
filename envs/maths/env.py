r"""`agentrl/Math-v0`: a problem, one turn, a reward: the degenerate case of an environment.

Episodes, trees, masks and learner are those of every other environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agentrl.envs.base import Info, ParsedAction, Placement, TextEnv
from agentrl.envs.maths.arithmetic import OPERATIONS, guesses, problem
from agentrl.envs.maths.judge import Judge, judge_named
from agentrl.envs.options import check_choice, check_integer, check_name
from agentrl.errors import ConfigError
from agentrl.scoring.boxed import last_boxed
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/Math-v0"
_FIRST_SEED: Mapping[str, int] = {"train": 0, "heldout": 1_000_000, "test": 2_000_000}
_GENERATED = ("count", "digits", "terms", "operations", "judge")


@dataclass(frozen=True, slots=True)
class MathPrompt:
    r"""The problem, and how to answer it; the whole answer is the action.

    Attributes:
        instruction: stands after the problem; `boxed` judges want the answer in `\boxed{}`.
        boxed: how an expert writes an answer.
        stop_strings: none: the model ends its turn.
    """

    wording: ClassVar[int] = 1

    instruction: str = "\nReason step by step, and put the final answer in \\boxed{}."
    boxed: bool = True
    stop_strings: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """Version of the text."""
        return self.wording

    def system(self, info: Info) -> str | None:
        """Return None."""
        return None

    def observe(self, observation: str, info: Info) -> str:
        """Return the problem with the instruction."""
        return f"{observation}{self.instruction}"

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Return the whole text; without a closed box it has not the asked form."""
        if not text.strip():
            return ParsedAction(text, False, "empty answer")
        if self.boxed and last_boxed(text) is None:
            return ParsedAction(text, False, "no \\boxed{} with the answer")
        return ParsedAction(text)

    def answer(self, action: str) -> str:
        """Return the text of a turn that gives an answer."""
        return f"\\boxed{{{action}}}" if self.boxed and last_boxed(action) is None else action


class MathEnv(TextEnv):
    """One problem, one answer.

    Panel options: `count`, `digits`, `terms`, `operations` of generated arithmetic; `judge`, a
    name in `agentrl.envs.maths.judge.JUDGES`.  Options of a task: `problem`, `answer`, `judge`,
    `guesses` (wrong answers for the erring player of a warm-up; no model is shown them).
    """

    prompts: ClassVar[Mapping[str, Any]] = {
        "boxed": MathPrompt(),
        "bare": MathPrompt(instruction="", boxed=False),
        "dapo": MathPrompt(
            instruction="\nSolve it step by step. The last line is `Answer: $Answer`, the answer "
            "to the problem.",
            boxed=False,
        ),
    }
    prompt = prompts["boxed"]
    placement = Placement(memory_mib=32)

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return generated problems of arithmetic; splits share none."""
        check_choice("Math", "split", split, _FIRST_SEED)
        for name in options:
            check_name("Math", name, _GENERATED)
        count, operations = options.get("count", 64), options.get("operations", "+-")
        sizes = {name: options.get(name, 2) for name in ("digits", "terms")}
        for name, value in {"count": count, **sizes}.items():
            check_integer(name, value)
        if not operations or not set(operations) <= set(OPERATIONS):
            raise ConfigError(
                f"`operations` are some of {''.join(OPERATIONS)}; got {operations!r}."
            )
        judge = options.get("judge", "exact")
        judge_named(judge)
        return TaskPanel.of(f"math-{split}", _tasks(split, count, sizes, operations, judge))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Show the problem."""
        super().reset(seed=seed)
        self.options = dict(options or {})
        self.problem, self.gold = str(self.options["problem"]), str(self.options["answer"])
        self.judge: Judge = judge_named(self.options.get("judge", "boxed"))
        self.steps = 0
        # The player whom a warm-up imitates errs as often as its noise says.
        possible = sorted({self.gold, *self.options.get("guesses", ())})
        listed = possible if len(possible) > 1 else None
        return self.problem, self._info({"expert_action": self.gold, "admissible_actions": listed})

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Judge an answer."""
        self.steps += 1
        found = self.judge(action, self.gold)
        info = self._info(
            {
                "won": found.correct,
                "score": float(found.correct),
                "raw_score": found.reward,
                "final_answer": found.answer,
                "action_valid": found.answer is not None,
                "judged": found.reason,
            }
        )
        return "", found.reward, True, False, info

    def fork(self) -> TextEnv:
        """Return a copy."""
        copy = type(self)()
        copy.__dict__.update(self.__dict__)
        return copy

    def _info(self, more: Info) -> Info:
        return {"task": self.problem, "step": self.steps, "anchor": self.problem, **more}


def _tasks(
    split: str, count: int, sizes: Mapping[str, int], operations: str, judge: str
) -> list[Task]:
    """Return different problems; heldout ones occur in no training panel of the same options.

    A problem belongs to the split that its text's own number gives, whatever the seed.
    """
    tasks: list[Task] = []
    known: set[str] = set()
    seed = _FIRST_SEED[split]
    for number in range(100 * count):
        text, answer = problem(seed + number, sizes["digits"], sizes["terms"], operations)
        mine = (sum(text.encode()) % 4 == 0) == (split != "train")
        if text in known or not mine:
            continue
        known.add(text)
        options = {
            "problem": text,
            "answer": answer,
            "judge": judge,
            "guesses": guesses(answer, seed + number),
        }
        tasks.append(Task(id=text, env_id=ENV_ID, options=options, split=split, answer=answer))
        if len(tasks) == count:
            return tasks
    raise ConfigError(
        f"There are not {count} different problems of this kind for the split {split!r}, only "
        f"{len(tasks)}; ask for fewer, or for more `digits` or `terms`."
    )
