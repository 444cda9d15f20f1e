"""Generating process: reads `[spec, backend]` lines, answers each with an error text or `""`."""

from __future__ import annotations

import json
import os
import sys

from agentrl.envs.textworld.games import GameSpec
from agentrl.envs.textworld.store import ensure
from agentrl.errors import AgentRLError


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the generator prints must not mix with the answers
    for line in sys.stdin:
        (kind, settings, seed), backend = json.loads(line)
        try:
            ensure(GameSpec(kind, settings, seed), backend)
            message = ""
        except AgentRLError as error:
            message = str(error)
        except Exception as error:
            message = f"TextWorld failed on {kind} {settings} seed {seed}: {error!r}"
        print(json.dumps(message), file=answers, flush=True)


if __name__ == "__main__":
    main()
