"""BM25 over a corpus of passages, in a folder that processes map into memory and share.

    bm25.json           format, settings, the corpus it was made from
    *.index.npy ...     what bm25s saves: the score of every word in every passage
    words.bin           the words, sorted, and `words.offsets.npy`; `word_ids.npy` numbers them
    passages.bin        the passages, and `passages.offsets.npy`

Scores are those of the library bm25s with Lucene's idf; its own search breaks ties at random, so
the best passages are picked here, ties by their order in the corpus.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from agentrl.envs.arrays import Array, Records, RecordWriter, map_array
from agentrl.envs.building import build_once
from agentrl.envs.extras import require
from agentrl.errors import ConfigError, DataError
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.passages import NAME, Passage, Passages, read_passages
from agentrl.tools.search.ranking import best

FORMAT = 1
"""Raised whenever what the files hold, or how text becomes words, changes."""

META = "bm25.json"
METHODS = ("lucene", "robertson", "atire")
_WORD = re.compile(r"\b\w\w+\b")


def words(text: str) -> list[str]:
    """Return the words of a text as they are indexed: lower case, two letters or more."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25Settings:
    """How passages are scored.

    Attributes:
        k1: how soon more of the same word counts no more.
        b: how much long passages are marked down, 0 to 1.
        method: variant of idf and word counts, one of `METHODS`.
    """

    k1: float = 1.2
    b: float = 0.75
    method: str = "lucene"

    def __post_init__(self) -> None:
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise ConfigError(f"`k1` is {self.k1:g} and `b` {self.b:g}; k1 >= 0 and 0 <= b <= 1.")
        if self.method not in METHODS:
            raise ConfigError(f"`method` is {self.method!r}; it is one of {', '.join(METHODS)}.")


class Bm25Index:
    """Searches an index folder; safe to use from many threads, the same in every process.

    Args:
        folder: made by `Bm25Index.of` or `Bm25Index.build`.

    Raises:
        DataError: it holds no index, or one of another version.
        MissingExtraError: bm25s is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        read_meta(self.folder)
        self._bm25 = _bm25s().BM25.load(
            self.folder, mmap=True, load_vocab=False, show_progress=False
        )
        self._words = Records(self.folder, "words")
        self._word_ids = map_array(self.folder, "word_ids")
        self.passages = Passages(self.folder)

    @classmethod
    def of(
        cls,
        corpus: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        settings: Bm25Settings | None = None,
    ) -> Self:
        """Return the index of a corpus; it is made when it is first asked for.

        Args:
            corpus: JSON lines (see `passages`).
            folder: of the index; by default one of `$AGENTRL_CACHE` (`~/.cache/agentrl`) that is
                named after what the corpus holds.
            settings: by default k1 1.2, b 0.75, Lucene.

        Raises:
            DataError: the corpus is damaged, or the folder holds the index of another one.
        """
        settings, path = settings or Bm25Settings(), Path(corpus)
        meta = {"format": FORMAT, "corpus": _digest(path), "settings": asdict(settings)}
        where = Path(folder) if folder is not None else _cache(meta)
        build_once(where, lambda scratch: _write(scratch, read_passages(path), settings, meta))
        if read_meta(where) != meta:
            raise DataError(
                f"{str(where)!r} holds an index of another corpus or with other settings than "
                f"those of {path.name!r}; delete the folder or name another one."
            )
        return cls(where)

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        folder: str | os.PathLike[str],
        settings: Bm25Settings | None = None,
    ) -> Self:
        """Make the index of passages that lie in no file; a folder that exists is kept as it is."""
        settings = settings or Bm25Settings()
        meta = {"format": FORMAT, "corpus": "", "settings": asdict(settings)}
        build_once(Path(folder), lambda scratch: _write(scratch, passages, settings, meta))
        return cls(folder)

    def __len__(self) -> int:
        return len(self.passages)

    def __reduce__(self) -> tuple[Callable[[Path], Self], tuple[Path]]:
        return type(self), (self.folder,)

    def scores(self, query: str) -> Array:
        """Return the score of every passage; a word that is said twice counts twice."""
        ids = [self._word_ids[place] for place in map(self._place, words(query)) if place >= 0]
        scores: Array = self._bm25.get_scores_from_ids(ids)
        return scores

    def search(self, query: str, k: int = 3) -> list[SearchHit]:
        """Return the k best passages that have a word of the query; ties by corpus order."""
        scores = self.scores(query)
        found = best(scores, k, above=0.0)
        return [self.passages[number].hit(float(scores[number])) for number in found]

    def _place(self, word: str) -> int:
        found = self._words.find(word.encode())
        return -1 if found is None else found


def read_meta(folder: Path) -> dict[str, Any]:
    """Return what an index folder says about itself.

    Raises:
        DataError: it is none, or one of another version.
    """
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(folder)!r} holds no search index ({error}); a folder in which one is to be "
            "made must not exist yet."
        ) from error
    if meta.get("format") != FORMAT:
        raise DataError(
            f"The search index in {str(folder)!r} has format {meta.get('format')}; this version "
            f"reads {FORMAT}. Delete the folder; it is made again."
        )
    return meta


def _write(
    folder: Path, passages: Iterable[Passage], settings: Bm25Settings, meta: dict[str, Any]
) -> None:
    """Fill an empty folder."""
    numbers: dict[str, int] = {}
    documents: list[array[int]] = []
    with RecordWriter(folder, NAME) as records:
        for passage in passages:
            records.append(passage.dump())
            found = words(passage.contents)
            documents.append(array("i", [numbers.setdefault(w, len(numbers)) for w in found]))
    if not numbers:
        raise DataError("The corpus has no passage with a word in it; there is nothing to search.")
    bm25 = _bm25s().BM25(**asdict(settings))
    bm25.index((documents, numbers), create_empty_token=False, show_progress=False)
    bm25.save(folder, show_progress=False)
    ordered = sorted(numbers, key=str.encode)
    RecordWriter.write(folder, "words", (word.encode() for word in ordered))
    np.save(folder / "word_ids.npy", np.array([numbers[word] for word in ordered], np.int32))
    (folder / META).write_text(json.dumps(meta, indent=1))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"The corpus {str(path)!r} cannot be read: {error}.") from error


def _cache(meta: dict[str, Any]) -> Path:
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    name = hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()[:16]
    return Path(root).expanduser() / "search" / name


def _bm25s() -> Any:
    with _hidden("jax", "numba"):
        return require("bm25s", extra="search", needed_for="A local search index")


@contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """Let nobody import some modules.

    bm25s imports these where they are installed, and starts JAX, which takes most of a GPU's
    memory; neither is used here.
    """
    hidden = [name for name in modules if name not in sys.modules]
    loaded: dict[str, Any] = sys.modules
    loaded.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del loaded[name]
