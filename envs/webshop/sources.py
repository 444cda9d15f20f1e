"""Reading the published WebShop files, plain or gzipped, without holding them in memory."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from agentrl.errors import DataError, unknown_name

CHUNK = 4 << 20
"""Characters read at a time."""

LONGEST_VALUE = 32 << 20
"""Characters after which a value that does not end counts as damage."""

NAMES: dict[str, tuple[str, str]] = {
    "1k": ("items_shuffle_1000.json", "items_ins_v2_1000.json"),
    "full": ("items_shuffle.json", "items_ins_v2.json"),
}
"""Catalogue to its file of products and its file of attributes and synthetic instructions."""

HUMAN_NAMES = ("items_human_ins.json", "items_human_ins_1000.json")
COLORS_NAME = "colors.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """The files a catalogue is made from; the last two are optional."""

    products: Path
    annotations: Path
    human: Path | None
    colors: Path | None

    def files(self) -> list[Path]:
        """Return the files that exist."""
        listed = (self.products, self.annotations, self.human, self.colors)
        return [path for path in listed if path is not None]

    def key(self) -> str:
        """Return a text that changes when a file is replaced: paths, sizes, modification times."""
        facts = [(str(path.resolve()), path.stat()) for path in self.files()]
        return json.dumps([[name, s.st_size, s.st_mtime_ns] for name, s in facts])


def find_sources(folder: Path, catalogue: str) -> Sources:
    """Find the files of a catalogue in a folder, with or without `.gz`.

    Raises:
        DataError: one is missing; the message names it.
    """
    if catalogue not in NAMES:
        raise unknown_name("WebShop catalogue", catalogue, NAMES)
    paths = [_existing(folder, name) for name in NAMES[catalogue]]
    for path, name in zip(paths, NAMES[catalogue], strict=True):
        if path is None:
            raise DataError(
                f"There is no {name!r} (or {name + '.gz'!r}) in {str(folder)!r}, which the WebShop "
                f"catalogue {catalogue!r} is made from. `agentrl data webshop` says how to get it."
            )
    products, annotations = paths
    assert products is not None and annotations is not None
    human = next((p for name in HUMAN_NAMES if (p := _existing(folder, name))), None)
    return Sources(products, annotations, human, _existing(folder, COLORS_NAME))


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read_list(path: Path) -> Iterator[Any]:
    """Yield the items of a JSON list one by one.

    Raises:
        DataError: the file is damaged.
    """
    with _open(path) as stream:
        reader = _Reader(path, stream)
        reader.expect("[")
        while reader.more("]"):
            yield reader.value()


def read_object(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the members of a JSON object one by one.

    Raises:
        DataError: the file is damaged.
    """
    with _open(path) as stream:
        reader = _Reader(path, stream)
        reader.expect("{")
        while reader.more("}"):
            name = reader.value()
            reader.expect(":")
            yield name, reader.value()


class PackedObject(Mapping[str, Any]):
    """The members of a JSON object, each kept as text: half the memory of Python objects.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        pairs = read_object(path)
        self._texts = {name: json.dumps(value).encode() for name, value in pairs}

    def __getitem__(self, name: str) -> Any:
        return json.loads(self._texts[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def read_colors(path: Path) -> tuple[str, ...]:
    """Read the list of colour words.

    Raises:
        DataError: the file is not a JSON list of words.
    """
    colors = tuple(read_list(path))
    if not colors or not all(isinstance(color, str) and color for color in colors):
        raise DataError(f"{str(path)!r} must be a JSON list of colour words.")
    return colors


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8") as text:
            yield text
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}. Fetch it anew.") from error


class _Reader:
    """A window on a JSON text that is decoded piece by piece."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path, self._stream = path, stream
        self._text, self._at, self._ended = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def expect(self, char: str) -> None:
        """Skip blanks and one character that must be there."""
        if self._peek() != char:
            raise self._damaged(f"expected {char!r}")
        self._at += 1

    def more(self, end: str) -> bool:
        """Skip blanks and a comma; return False at the end of the list or object."""
        if self._peek() == ",":
            self._at += 1
        if self._peek() == end:
            return False
        if not self._peek():
            raise self._damaged("it ends too early")
        return True

    def value(self) -> Any:
        """Return the value that follows, reading on until it is whole."""
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > LONGEST_VALUE:
                    raise self._damaged(str(error)) from error
            else:
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._fill()

    def _fill(self) -> None:
        more = self._stream.read(CHUNK)
        self._ended = not more
        self._text, self._at = self._text[self._at :] + more, 0

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{str(self._path)!r} is not the JSON it should be: {why}. Fetch it anew.")


def complete(folder: Path) -> list[str]:
    """Return the catalogues whose two files are in a folder."""
    return [name for name, files in NAMES.items() if all(_existing(folder, f) for f in files)]
