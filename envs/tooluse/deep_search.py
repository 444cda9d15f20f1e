"""`agentrl/DeepSearch-v0`: questions that need several pages, in ARPO's and AEPO's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from agentrl.envs.base import Placement
from agentrl.envs.options import check_choice, check_flag
from agentrl.envs.tooluse.action import answer_text, call_text
from agentrl.envs.tooluse.env import ToolEnv
from agentrl.envs.tooluse.files import SPLITS, chosen_questions, limits, question_task, without_file
from agentrl.envs.tooluse.passage_pages import PassagePages
from agentrl.envs.tooluse.prompt import tool_prompts
from agentrl.envs.tooluse.python_tool import (
    PYTHON_SCHEMA,
    check_level,
    prepare_sandbox,
    python_tool,
)
from agentrl.envs.tooluse.sources import OPTIONS as SOURCE_OPTIONS
from agentrl.envs.tooluse.sources import search_tool, searcher_of, source_options
from agentrl.envs.tooluse.world import world
from agentrl.envs.tooluse.world_tasks import world_tasks
from agentrl.envs.tooluse.world_tools import WorldBrowse, WorldSearch
from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, Tool, schema_of
from agentrl.tools.browse import BrowseTool, open_pages
from agentrl.tools.search.formats import format_named
from agentrl.types import TaskPanel

ENV_ID = "agentrl/DeepSearch-v0"
TOPK, CHARACTERS, WORLD_TOPK = 10, 1000, 3
_LIMITS = ("reward", "max_calls", "topk", "max_characters")
_SANDBOX = ("python", "level")
_GENERATED = ("count", "hops", *_LIMITS, *_SANDBOX)
_OF_FILES = (*SOURCE_OPTIONS, "pages", "style", "characters", *_LIMITS, *_SANDBOX)
_WEB = (schema_of(WorldSearch()), schema_of(WorldBrowse()))
_AND_PYTHON = {
    f"{name}-python": prompt for name, prompt in tool_prompts((*_WEB, PYTHON_SCHEMA)).items()
}


class DeepSearchEnv(ToolEnv):
    """Generated questions whose pages must be found and opened, or a file and the web.

    Panel options: `count`, `reward`, `max_calls`, `topk`, `max_characters`; `python` (true adds the
    tool; the prompts `...-python` tell of it) and `level` of its sandbox; `hops` of generated
    questions; of a `file` those of `agentrl.envs.questions.panel_choice` and
    `agentrl.envs.tooluse.sources`, `characters` of a hit, `style` of the hits, and `pages`, what
    `browse` opens: see `agentrl.tools.browse.open_pages`; by default the passages of a title, or
    for a service of the web the pages themselves.
    """

    schemas = (*_WEB, PYTHON_SCHEMA)
    prompts: ClassVar[Mapping[str, Any]] = {**tool_prompts(_WEB), **_AND_PYTHON}
    prompt = prompts["arpo"]
    placement = Placement(memory_mib=64, call_timeout=120.0)
    max_calls = 6
    max_characters = 12_000  # the hits, with their titles and addresses

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return the questions of a file, or generated ones, each with a world of its own."""
        check_choice("DeepSearch", "split", split, SPLITS)
        if "file" in options:
            return cls._file_panel(split, options)
        without_file("DeepSearch", options, _GENERATED)
        shared = {"reward": "f1", **limits(options, _LIMITS), **_sandbox(options)}
        count, hops = options.get("count", 64), options.get("hops", [2, 3])
        tasks = world_tasks(ENV_ID, split, count=count, hops=hops, options=shared)
        return TaskPanel.of(f"deepsearch-{split}", tasks)

    @classmethod
    def _file_panel(cls, split: str, options: Mapping[str, Any]) -> TaskPanel:
        questions, rest = chosen_questions("DeepSearch", split, options, _OF_FILES, "open_qa")
        style = rest.get("style", "links")
        format_named(style)
        shared: dict[str, JSON] = {
            "reward": "arpo",
            "topk": TOPK,
            "characters": CHARACTERS,
            "style": style,
            **limits(rest, (*_LIMITS, "characters")),
            **_sandbox(rest),
            **source_options(rest),
        }
        if pages := _pages(rest):
            shared["source"] = {**shared["source"], "pages": pages}
        tasks = (question_task(ENV_ID, split, question, shared) for question in questions)
        return TaskPanel.of(f"deepsearch-{questions.name}-{split}", tasks)

    @classmethod
    def prepare(cls, panel: TaskPanel) -> None:
        """Test the sandboxes of the tasks that have one."""
        for level in sorted({str(task.options["level"]) for task in panel if _has_python(task)}):
            prepare_sandbox(level)

    @classmethod
    def tool_options(cls, options: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Return what the tools are made with."""
        names = ("topk", "characters", "style", "source", "python", "level")
        return {name: options.get(name) for name in names}

    @classmethod
    def make_tools(cls, options: Mapping[str, JSON]) -> Sequence[Tool]:
        """Return search, browse and, if wanted, python."""
        tools = _tools_of(options) if options.get("source") else _world_tools(options)
        return [*tools, python_tool(options["level"])] if options.get("python") else tools

    def extra_info(self) -> Mapping[str, JSON]:
        """Return the expert's action: find the first page, open those of the path, then answer."""
        if "path" not in self.options:
            return {}
        action = self._expert_action()
        titles = list(world(self.options["world"]).pages)
        calls = [call_text(name, title) for name in ("search", "browse") for title in titles]
        wrong = [answer_text(title) for title in self.options["path"]]
        return {"expert_action": action, "admissible_actions": sorted({*calls, *wrong, action})}

    def _expert_action(self) -> str:
        """Return what is still to be done, whatever has been done so far."""
        shown = "\n".join(r.text for _, results in self.response.turns for r in results)
        pages = world(self.options["world"]).pages
        missing = [title for title in self.options["path"] if pages[title].text not in shown]
        if not missing or self.toolbox.calls_left == 0:
            return answer_text(self.golds[0])
        return call_text("browse" if missing[0] in shown else "search", missing[0])


def _has_python(task: Any) -> bool:
    return bool(task.options.get("python"))


def _sandbox(options: Mapping[str, Any]) -> dict[str, JSON]:
    """Return the options of tasks that may run programs; nothing for others."""
    wanted, level = options.get("python", False), options.get("level", "bwrap")
    check_flag("python", wanted)
    check_level("DeepSearch", level)
    if "level" in options and not wanted:
        raise ConfigError("`level` is that of the sandbox of `python`; set `python: true`.")
    return {"python": True, "level": level} if wanted else {}


def _pages(options: Mapping[str, Any]) -> str | None:
    """Return what `browse` opens; None for the passages of a title."""
    pages: str | None = options.get("pages", "direct" if options.get("web") else None)
    if pages in (None, "direct", "jina"):
        return pages
    path = Path(str(pages)).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"`pages` is `direct`, `jina` or the file of a site; got {pages!r}.")
    return str(path)


def _world_tools(options: Mapping[str, JSON]) -> list[Tool]:
    return [WorldSearch(int(options.get("topk") or WORLD_TOPK), whole=False), WorldBrowse()]


def _tools_of(options: Mapping[str, JSON]) -> list[Tool]:
    source = options["source"]
    topk, characters = int(options["topk"]), int(options["characters"])
    search = search_tool(source, topk=topk, style=options["style"], characters=characters)
    pages = source.get("pages")
    return [
        search,
        BrowseTool(open_pages(pages) if pages else PassagePages(searcher_of(source))),
    ]
