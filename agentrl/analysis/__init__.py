"""What a finished or running run says about its method: laws, monitors and detectors.

The modules of this package compute; those in `agentrl.analysis.tools` read a run directory and
make tables and plots of it for `agentrl analyse`.
"""

from agentrl.analysis.registry import Tool, names, tool
from agentrl.analysis.result import Analysis, Table
from agentrl.analysis.source import Run

__all__ = ["Analysis", "Run", "Table", "Tool", "names", "tool"]
