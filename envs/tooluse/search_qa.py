"""`agentrl/SearchQA-v0`: questions answered by searching passages, as in Search-R1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentrl.envs.base import Placement
from agentrl.envs.options import check_choice
from agentrl.envs.tooluse.action import answer_text, call_text
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.files import SPLITS, chosen_questions, limits, question_task, without_file
from agentrl.envs.tooluse.prompt import tool_prompts
from agentrl.envs.tooluse.sources import OPTIONS as SOURCE_OPTIONS
from agentrl.envs.tooluse.sources import search_tool, source_options
from agentrl.envs.tooluse.world import world
from agentrl.envs.tooluse.world_tasks import world_tasks
from agentrl.envs.tooluse.world_tools import WorldSearch
from agentrl.tools.base import JSON, Tool, schema_of
from agentrl.types import TaskPanel

ENV_ID = "agentrl/SearchQA-v0"
_LIMITS = ("reward", "max_calls", "topk", "max_characters")
_GENERATED = ("count", "hops", *_LIMITS)
_OF_FILES = (*SOURCE_OPTIONS, *_LIMITS)
TOPK = 3
"""Passages shown of a corpus, as in the released scripts."""


class SearchQAEnv(ToolEnv):
    """Generated multi-hop questions over generated pages, or a file of questions and a corpus.

    Panel options: `count`, `reward`, `max_calls`, `topk`, `max_characters`; of generated questions
    `hops` (a list of 1, 2, 3); of a `file` those of `agentrl.envs.questions.panel_choice` and
    `agentrl.envs.tooluse.sources`.
    """

    schemas = (schema_of(WorldSearch()),)
    prompts: ClassVar[Mapping[str, Any]] = tool_prompts(schemas)
    prompt = prompts["search_r1"]
    placement = Placement(memory_mib=48)
    max_calls = 4
    max_characters = 2000  # about 500 tokens

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return the questions of a file, or generated ones, each with a world of its own."""
        check_choice("SearchQA", "split", split, SPLITS)
        if "file" in options:
            return cls._file_panel(split, options)
        without_file("SearchQA", options, _GENERATED)
        tasks = world_tasks(
            ENV_ID,
            split,
            count=options.get("count", 64),
            hops=options.get("hops", [1, 2]),
            options=limits(options, _LIMITS),
        )
        return TaskPanel.of(f"searchqa-{split}", tasks)

    @classmethod
    def _file_panel(cls, split: str, options: Mapping[str, Any]) -> TaskPanel:
        questions, rest = chosen_questions("SearchQA", split, options, _OF_FILES, "open_qa")
        shared = {"topk": TOPK} | limits(rest, _LIMITS) | source_options(rest)
        tasks = (question_task(ENV_ID, split, question, shared) for question in questions)
        return TaskPanel.of(f"searchqa-{questions.name}-{split}", tasks)

    @classmethod
    def tool_options(cls, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return what the search tool is made with."""
        return {"topk": options.get("topk", 1), "source": options.get("source")}

    @classmethod
    def make_tools(cls, options: Mapping[str, JSON]) -> Sequence[Tool]:
        """Return the search tool."""
        topk = int(options.get("topk", 1))
        if source := options.get("source"):
            return [search_tool(source, topk=topk, style="search_r1")]
        return [WorldSearch(topk)]

    def extra_info(self) -> Mapping[str, JSON]:
        """Return the expert's action: look up each page of the path, then answer."""
        if "path" not in self.options:
            return {}
        made = self.toolbox.calls_made
        path = self.options["path"]
        action = call_text("search", path[made]) if made < len(path) else answer_text(self.golds[0])
        others = [call_text("search", title) for title in world(self.options["world"]).pages]
        wrong = [answer_text(title) for title in path]
        return {"expert_action": action, "admissible_actions": sorted({*others, *wrong, action})}
