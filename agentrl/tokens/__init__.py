"""Tokens in, tokens out: chat templates as token ids that are appended and never re-encoded."""

from agentrl.tokens.bridge import Bridge, Refusal, RefusalReason
from agentrl.tokens.context import ContextMode, Conversation, Extension
from agentrl.tokens.renderer import ModelTurn, Renderer

__all__ = [
    "Bridge",
    "ContextMode",
    "Conversation",
    "Extension",
    "ModelTurn",
    "Refusal",
    "RefusalReason",
    "Renderer",
]
