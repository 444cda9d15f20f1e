"""Layers import one way, so that any part can be read and used without those above it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "agentrl"

# Lower layers first; modules may import from their own layer and from those below.
LAYERS = [
    ["errors", "_version"],
    ["types"],
    ["tree"],
    ["storage", "models", "tokens", "scoring"],
    ["envs", "tools"],
    ["engines"],
    ["rollout"],
    ["algorithms"],
    ["learner"],
    ["config", "plans"],
    ["assembly", "checkpoint", "correction", "publishing", "training", "evaluation", "analysis"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    folders = [PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_symlink())]
    return sorted({path for folder in folders for path in folder.rglob("*.py")})


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every imported module with its line; relative imports are made absolute."""
    here = ["agentrl", *path.relative_to(PACKAGE).parts[:-1]]
    guarded = _type_checking_lines(ast.parse(path.read_text()))
    for node in ast.walk(ast.parse(path.read_text())):
        if getattr(node, "lineno", None) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "agentrl":
                yield from ((f"agentrl.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def _type_checking_lines(tree: ast.AST) -> set[int]:
    """Imports for annotations only do not run, so they bind no layer to torch."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            lines |= {inner.lineno for inner in ast.walk(node) if hasattr(inner, "lineno")}
    return lines


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_belongs_to_a_layer():
    assert {layer(path) for path in modules()} - {"__init__", "__main__", "configs"} <= set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_layer_and_below(path):
    if layer(path) in ("__init__", "__main__", "configs"):
        return
    for name, line in imports(path):
        if name.startswith("agentrl."):
            other = name.split(".")[1]
            if other in RANK:
                assert RANK[other] <= RANK[layer(path)], f"{path.name}:{line} imports {name}"


def test_algorithms_import_torch_and_nothing_else():
    allowed = {"torch", "agentrl"}
    for path in modules():
        if layer(path) != "algorithms":
            continue
        for name, line in imports(path):
            top = name.split(".")[0]
            where = f"{path.name}:{line} imports {name}"
            assert top in allowed or top in sys.stdlib_module_names, where
            if top == "agentrl":
                assert name.split(".")[1] in ("algorithms", "errors"), where


def test_environments_and_tools_import_no_torch():
    for path in modules():
        if layer(path) in ("envs", "tools", "scoring", "types", "tree", "errors", "storage"):
            for name, line in imports(path):
                top = name.split(".")[0]
                assert top not in ("torch", "transformers"), f"{path.name}:{line} imports {name}"
