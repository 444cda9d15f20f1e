"""Text between tags such as `<answer>` and `</answer>`, found in linear time."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(text: str, tag: str) -> Iterator[str]:
    """Yield what stands between each opening tag and the next closing one, from the left.

    Blocks do not overlap, so an opening tag inside a block is part of it.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    end = 0
    while (start := text.find(opening, end)) >= 0:
        start += len(opening)
        if (end := text.find(closing, start)) < 0:
            return
        yield text[start:end]
        end += len(closing)


def last_block(text: str, tag: str) -> str | None:
    """Return the stripped content of the last block; None if there is none."""
    found = None
    for found in blocks(text, tag):  # noqa: B007  (the last one stays)
        pass
    return None if found is None else found.strip()
