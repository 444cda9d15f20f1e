"""Case-based memory: episodes are kept as cases, and shown to the planner of a similar task."""

from agentrl.algorithms.memory.cases.bank import CaseBank
from agentrl.algorithms.memory.cases.case import Case, Found, render
from agentrl.algorithms.memory.cases.embedding import Embedder, HashingEmbedder
from agentrl.algorithms.memory.cases.retriever import Pair, Retriever, RetrieverSettings, train

__all__ = [
    "Case",
    "CaseBank",
    "Embedder",
    "Found",
    "HashingEmbedder",
    "Pair",
    "Retriever",
    "RetrieverSettings",
    "render",
    "train",
]
