"""How a model writes calls and reads results, by name."""

from collections.abc import Mapping

from agentrl.errors import unknown_name
from agentrl.tools.dialects.chat import Hermes, XmlFunction
from agentrl.tools.dialects.reply import BadCall, Dialect, Reply
from agentrl.tools.dialects.tags import Arpo, SearchR1

DIALECTS: Mapping[str, Dialect] = {
    found.name: found for found in (SearchR1(), Arpo(), Hermes(), XmlFunction())
}

__all__ = [
    "DIALECTS",
    "Arpo",
    "BadCall",
    "Dialect",
    "Hermes",
    "Reply",
    "SearchR1",
    "XmlFunction",
    "dialect",
]


def dialect(name: str) -> Dialect:
    """Return a dialect.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in DIALECTS:
        raise unknown_name("dialect", name, DIALECTS)
    return DIALECTS[name]
