"""`python -m agentrl.envs.alfworld.translate`: translates the games named on standard input.

A line is `[options, seed]`; the answer is a line with an error message, or with "".
"""

from __future__ import annotations

import json
import sys

from agentrl.envs.alfworld.options import Options
from agentrl.envs.alfworld.source import locate
from agentrl.envs.alfworld.store import ensure
from agentrl.errors import AgentRLError


def main() -> None:
    """Serve standard input to its end."""
    for line in sys.stdin:
        options, seed = json.loads(line)
        message = ""
        try:
            found = locate(Options.read(options), seed)
            ensure(found.digest, found.label, found.content)
        except AgentRLError as error:
            message = str(error)
        print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
