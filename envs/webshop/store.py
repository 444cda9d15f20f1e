"""The prepared form of a catalogue: a folder of files that processes map into memory.

    catalogue.json      format, counts, digests, the size of every file
    products.bin        one JSON list per product, and `products.offsets.npy`
    cards.bin           what a line of a result page shows, and `cards.offsets.npy`
    asins.bin           the ids, sorted, and `asins.offsets.npy`; `asin_order.npy` numbers them
    terms.bin ...       the search index (`index.py`)

`build_once` makes it, so that a folder with the final name is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.envs.arrays import RecordWriter
from agentrl.envs.webshop.index import IndexWriter
from agentrl.envs.webshop.products import Product
from agentrl.errors import DataError

FORMAT = 1
"""Raised whenever what the files hold, or how text becomes terms, changes."""

META = "catalogue.json"


def cache_directory() -> Path:
    """Return `$AGENTRL_CACHE/webshop-vN` (default `~/.cache/agentrl`)."""
    root = os.environ.get("AGENTRL_CACHE") or Path.home() / ".cache" / "agentrl"
    return Path(root).expanduser() / f"webshop-v{FORMAT}"


def write_catalogue(
    folder: Path, products: Iterable[Product], colors: Iterable[str], origin: str
) -> None:
    """Write the prepared form into an existing folder.

    Args:
        folder: empty.
        products: in catalogue order; gone through once.
        colors: the colour words of the reward.
        origin: what it was made from, for people to read.

    Raises:
        DataError: there is no product.
    """
    index, digest = IndexWriter(folder), hashlib.sha256()
    asins = _write_products(folder, products, index, digest.update)
    if not asins:
        raise DataError(f"There is no product in {origin}.")
    order = sorted(range(len(asins)), key=asins.__getitem__)
    RecordWriter.write(folder, "asins", (asins[number] for number in order))
    np.save(folder / "asin_order.npy", np.array(order, np.int32))
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    np.save(folder / "asin_rank.npy", rank)
    words = list(colors)
    digest.update(json.dumps(words).encode())
    meta = {
        "format": FORMAT,
        "origin": origin,
        "products": len(asins),
        "mean_length": index.close(),
        "digest": digest.hexdigest(),
        "colors": words,
    }
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / META).write_text(json.dumps({**meta, "files": sizes}, indent=1))


def _write_products(
    folder: Path,
    products: Iterable[Product],
    index: IndexWriter,
    also: Callable[[bytes], None],
) -> list[bytes]:
    """Write records and cards, index the documents; returns the ASINs in order."""
    asins = []
    with RecordWriter(folder, "products") as records, RecordWriter(folder, "cards") as cards:
        for product in products:
            record = product.dump()
            also(record)
            records.append(record)
            cards.append(json.dumps([product.asin, product.title, product.price_tag]).encode())
            index.add(product.document())
            asins.append(product.asin.encode("utf-8", "surrogatepass"))
    return asins


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the content of `catalogue.json`, having compared the sizes of all files.

    Raises:
        DataError: it is of another format, or damaged.
    """
    advice = f"Delete the folder {str(folder)!r} and prepare it anew."
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text())
        if meta["format"] != FORMAT:
            raise DataError(
                f"The WebShop catalogue was prepared in format {meta['format']}; this version "
                f"reads format {FORMAT}. {advice}"
            )
        wrong = [n for n, size in meta["files"].items() if (folder / n).stat().st_size != size]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"The prepared WebShop catalogue is damaged ({error!r}). {advice}"
        ) from error
    if wrong:
        raise DataError(f"File {wrong[0]!r} of the WebShop catalogue is not whole. {advice}")
    return meta


def source_key(*parts: object) -> str:
    """Return a short digest of JSON values, for folder names."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
