"""Options that give a model its tools: by name, or from a function of the user's own."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrl.tools import Tool

SETTINGS = ("tools", "search", "topk", "browse", "python_level")
"""What a report is to say of the tools, as the options are called."""


def add_tool_options(parser: argparse.ArgumentParser) -> None:
    """Declare which tools there are, and what they use."""
    group = parser.add_argument_group("with which tools")
    group.add_argument(
        "--tools",
        metavar="NAME[,NAME]",
        help="search, browse, click, python, or MODULE:FUNCTION that returns a list of tools",
    )
    group.add_argument(
        "--search",
        metavar="SOURCE",
        help="serper, brave, tavily, serpapi, searxng; the address of a /retrieve server; or a "
        "file of passages. Keys are read from the environment",
    )
    group.add_argument("--topk", type=int, default=5, help="hits of a search (default 5)")
    group.add_argument(
        "--browse",
        metavar="SOURCE",
        default="direct",
        help="direct (default), jina, or the file of a site",
    )
    group.add_argument(
        "--browse-allow",
        metavar="HOST:PORT",
        nargs="+",
        default=[],
        help="servers that may be opened although they are not public",
    )
    group.add_argument(
        "--python-level",
        choices=["bwrap", "rlimit", "off"],
        default="bwrap",
        help="how code is contained; only bwrap (default) does",
    )
    group.add_argument("--max-turns", type=int, default=20, help="with tools (default 20)")
    group.add_argument("--max-calls", type=int, help="of tools, per question")


def open_tools(args: argparse.Namespace, stack: AsyncExitStack) -> list[Tool]:
    """Return the tools of `--tools`; they are closed with the stack.

    Raises:
        ConfigError: there is no such tool, or it cannot be set up so on this machine.
        MissingExtraError: a package that a tool needs is not installed.
    """
    names = _names(args)
    _check_options(args, names)
    tools: list[Tool] = []
    for name in names:
        for tool in [_OWN[name](args)] if name in _OWN else _made_by(name):
            stack.push_async_callback(tool.close)
            tools.append(tool)
    return tools


def _names(args: argparse.Namespace) -> list[str]:
    return [name.strip() for name in (args.tools or "").split(",") if name.strip()]


def _check_options(args: argparse.Namespace, names: list[str]) -> None:
    from agentrl.errors import ConfigError

    if args.search and "search" not in names:
        raise ConfigError("`--search` says where to search, but `--tools` does not name `search`.")
    if "search" in names and not args.search:
        raise ConfigError(
            "`--tools search` needs `--search`: a web service such as serper, the address of a "
            "server, or a file of passages."
        )


def _search(args: argparse.Namespace) -> Tool:
    from agentrl.tools.search import SearchTool, open_searcher

    style = "links" if "browse" in _names(args) else "search_r1"  # addresses, to open them
    return SearchTool(open_searcher(args.search), topk=args.topk, style=style)


def _browse(args: argparse.Namespace) -> Tool:
    from agentrl.tools.browse import BrowseTool, open_pages

    return BrowseTool(open_pages(args.browse, allowed=args.browse_allow))


def _click(args: argparse.Namespace) -> Tool:
    from agentrl.tools.browse import ClickTool, open_pages

    return ClickTool(open_pages(args.browse, allowed=args.browse_allow))


def _python(args: argparse.Namespace) -> Tool:
    from agentrl.tools.python import PythonTool

    return PythonTool(level=args.python_level)


_OWN: Mapping[str, Callable[[argparse.Namespace], Tool]] = {
    "search": _search,
    "browse": _browse,
    "click": _click,
    "python": _python,
}


def _made_by(name: str) -> list[Tool]:
    """Return what a function without arguments returns, named `module:function`."""
    from agentrl.errors import ConfigError

    module, _, function = name.partition(":")
    try:
        make: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"`--tools` has {name!r}; accepted are {', '.join(_OWN)}, and MODULE:FUNCTION, a "
            f"function without arguments that returns a list of tools ({error})."
        ) from error
    return list(make())
