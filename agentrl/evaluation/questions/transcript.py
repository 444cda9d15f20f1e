"""What was said in a sample, as text for readers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_REASONING = ("reasoning_content", "reasoning")


def readable(transcript: Any) -> str:
    """Return a transcript as text: chats turn by turn, any other value as JSON."""
    if isinstance(transcript, str):
        return transcript
    if _is_chat(transcript):
        return "\n\n".join("\n".join(_lines(message)) for message in transcript)
    return _json(transcript)


def _is_chat(transcript: Any) -> bool:
    return isinstance(transcript, list) and all(
        isinstance(message, Mapping) and "role" in message for message in transcript
    )


def _lines(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield who speaks, what was thought and said, and each call."""
    yield f"[{message['role']}]"
    said = [message.get(name) for name in (*_REASONING, "content")]
    yield from (part.strip() if isinstance(part, str) else _json(part) for part in said if part)
    for call in message.get("tool_calls") or ():
        function = call.get("function", call) if isinstance(call, Mapping) else call
        if isinstance(function, Mapping):
            yield f"{function.get('name')} {function.get('arguments')}"
        else:
            yield _json(function)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
