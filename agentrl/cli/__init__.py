"""The `agentrl` command."""

from agentrl.cli.main import main

__all__ = ["main"]
