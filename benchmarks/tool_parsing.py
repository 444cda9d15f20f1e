"""How long a megabyte of a model's turn takes to read, in each dialect and for nasty texts.

Every text is one fragment repeated: opened and never closed tags, nested and crossed ones, whole
calls.  Work that grows with the square of the length would take minutes.

    python benchmarks/tool_parsing.py [--megabytes 1] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from agentrl.tools.dialects import DIALECTS

CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>'
XML = "<tool_call><function=search><parameter=query>\na\n</parameter></function></tool_call>"
FRAGMENTS = {
    "prose": "The town lies on a river. ",
    "open thoughts": "<think>",
    "closed thoughts": "</think>",
    "thoughts": "<think>a</think>",
    "open calls": "<tool_call>",
    "closed calls": "</tool_call>",
    "open searches": "<search>",
    "crossed tags": "<search><answer></search>",
    "whole calls": CALL,
    "whole XML calls": XML,
    "open parameters": "<tool_call><function=search><parameter=query>",
    "braces": "{",
    "quotes": '"',
    "backslashes": "\\",
}
SCHEMAS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "finds pages",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    }
]


def milliseconds(read: Any, text: str) -> float:
    """Return the median of three readings, in CPU time."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        read(text, SCHEMAS)
        taken.append(1000 * (time.process_time() - started))
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1_000_000)
    rows: dict[str, dict[str, float]] = {}
    print(f"{'ms a text of ' + str(size) + ' bytes':28}" + "".join(f"{n:>14}" for n in DIALECTS))
    for name, piece in FRAGMENTS.items():
        text = (piece * (size // len(piece) + 1))[:size]
        rows[name] = {key: milliseconds(one.read, text) for key, one in DIALECTS.items()}
        print(f"{name:28}" + "".join(f"{value:14.1f}" for value in rows[name].values()))
    longest = max(value for row in rows.values() for value in row.values())
    print(f"longest: {longest:.1f} ms")
    if arguments.output:
        found = {"machine": platform.machine(), "bytes": size, "longest_ms": longest, "ms": rows}
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
