"""OpenAI-compatible servers: a client for text and chats, and an engine of token ids."""

from agentrl.engines.openai.client import OpenAIClient
from agentrl.engines.openai.engine import OpenAIEngine
from agentrl.engines.openai.failure import FailureKind, ServerFailure
from agentrl.engines.openai.reply import ChatCall, ChatReply, Reply
from agentrl.engines.openai.server import Prices, Server
from agentrl.engines.openai.transport import Transport
from agentrl.engines.openai.usage import Usage

__all__ = [
    "ChatCall",
    "ChatReply",
    "FailureKind",
    "OpenAIClient",
    "OpenAIEngine",
    "Prices",
    "Reply",
    "Server",
    "ServerFailure",
    "Transport",
    "Usage",
]
