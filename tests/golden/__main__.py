"""`python -m tests.golden [PATH ...]`: compare with official results, exit 1 if any differ."""

from __future__ import annotations

import sys

import torch

from tests.golden.runner import places, run

if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(run(places(sys.argv[1:])))
