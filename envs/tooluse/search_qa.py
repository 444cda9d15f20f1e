"""`agentrl/SearchQA-v0`: questions answered by searching passages, as in Search-R1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentrl.envs.base import Placement
from agentrl.envs.options import check_choice, check_integer, check_name
from agentrl.envs.tooluse.action import answer_text, call_text
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.prompt import tool_prompts
from agentrl.envs.tooluse.world import WorldQuestion, world
from agentrl.envs.tooluse.world_tools import WorldSearch
from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, Tool, schema_of
from agentrl.types import Task, TaskPanel

ENV_ID = "agentrl/SearchQA-v0"
_FIRST_SEED: Mapping[str, int] = {"train": 0, "heldout": 1_000_000, "test": 2_000_000}
_GENERATED = ("count", "hops", "reward", "max_calls", "topk")


class SearchQAEnv(ToolEnv):
    """Generated multi-hop questions over generated pages, or a file of questions and a corpus.

    Panel options: `count`, `hops` (a list of 1, 2, 3), `reward`, `max_calls`, `topk`; or with
    `file`: see `agentrl.envs.tooluse.files`.
    """

    schemas = (schema_of(WorldSearch()),)
    prompts: ClassVar[Mapping[str, Any]] = tool_prompts(schemas)
    prompt = prompts["search_r1"]
    placement = Placement(memory_mib=48)
    max_calls = 4

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return generated questions; every split and every task has a world of its own."""
        check_choice("SearchQA", "split", split, _FIRST_SEED)
        for name in options:
            check_name("SearchQA", name, _GENERATED)
        count, hops = options.get("count", 64), options.get("hops", [1, 2])
        check_integer("count", count)
        if not isinstance(hops, list | tuple) or not hops or not set(hops) <= {1, 2, 3}:
            raise ConfigError(f"`hops` must be a list of 1, 2 and 3; got {hops!r}.")
        extra: dict[str, JSON] = {
            name: options[name] for name in ("reward", "max_calls", "topk") if name in options
        }
        tasks = [
            _task(split, _FIRST_SEED[split] + number, hops[number % len(hops)], extra)
            for number in range(count)
        ]
        return TaskPanel.of(f"searchqa-{split}", tasks)

    @classmethod
    def tool_options(cls, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return what the search tool is made with."""
        return {"topk": options.get("topk", 1)}

    @classmethod
    def make_tools(cls, options: Mapping[str, JSON]) -> Sequence[Tool]:
        """Return the search tool."""
        return [WorldSearch(int(options.get("topk", 1)))]

    def extra_info(self) -> Mapping[str, JSON]:
        """Return the expert's action: look up each page of the path, then answer."""
        made = self.toolbox.calls_made
        path = self.options["path"]
        action = call_text("search", path[made]) if made < len(path) else answer_text(self.golds[0])
        others = [call_text("search", title) for title in world(self.options["world"]).pages]
        wrong = [answer_text(title) for title in path]
        return {"expert_action": action, "admissible_actions": sorted({*others, *wrong, action})}


def _task(split: str, seed: int, hops: int, extra: Mapping[str, JSON]) -> Task:
    questions = world(seed).questions[hops]
    question: WorldQuestion = questions[seed % len(questions)]
    return Task(
        id=f"world-{seed}-{hops}",
        env_id=ENV_ID,
        seed=seed,
        split=split,
        task_type=f"{hops}-hop",
        answer=question.answer,
        options={
            "question": question.text,
            "answers": [question.answer],
            "world": seed,
            "path": list(question.path),
            **extra,
        },
    )
