"""A prepared catalogue, opened: products, search, goals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from agentrl.envs.arrays import Records, map_array
from agentrl.envs.building import build_once
from agentrl.envs.webshop.goals import GoalSet, write_goals
from agentrl.envs.webshop.index import Index
from agentrl.envs.webshop.products import Product
from agentrl.envs.webshop.store import cache_directory, read_meta, source_key

KEPT_PRODUCTS = 256
KEPT_CARDS = 1024
KEPT_SEARCHES = 64
LONGEST_KEPT_QUERY = 300
"""What one process keeps decoded: a few hundred kilobytes in all."""


class Catalogue:
    """Read-only view of a prepared folder; cheap to open, its pages are shared by processes.

    Args:
        folder: what `store.write_catalogue` filled.

    Raises:
        DataError: it is damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        meta = read_meta(folder)
        self.digest: str = meta["digest"]
        self.colors: tuple[str, ...] = tuple(meta["colors"])
        self.mean_length: float = meta["mean_length"]
        self._records, self._cards = Records(folder, "products"), Records(folder, "cards")
        self._asins, self._asin_order = Records(folder, "asins"), map_array(folder, "asin_order")
        self.index = Index(folder, self.mean_length, map_array(folder, "asin_rank"))
        self.product = lru_cache(KEPT_PRODUCTS)(self._product)
        self.card = lru_cache(KEPT_CARDS)(self._card)
        self._kept_search = lru_cache(KEPT_SEARCHES)(self._search)
        self._goal_sets: dict[tuple[bool, int, int], GoalSet] = {}

    def __len__(self) -> int:
        return len(self._records)

    def products(self) -> Iterator[Product]:
        """Go through all products in order."""
        return (self._product(number) for number in range(len(self)))

    def number(self, asin: str) -> int | None:
        """Return the number of a product, if there is one of that ASIN."""
        position = self._asins.find(asin.encode("utf-8", "surrogatepass"))
        return None if position is None else int(self._asin_order[position])

    def search(self, query: str) -> tuple[int, ...]:
        """Return the numbers of the products that a query finds, best first."""
        short = len(query) <= LONGEST_KEPT_QUERY
        return self._kept_search(query) if short else self._search(query)

    def goals(self, human: bool, price_seed: int, shuffle_seed: int) -> GoalSet:
        """Return the goals for these seeds, which are made on first use and kept on disk."""
        key = (human, price_seed, shuffle_seed)
        if key not in self._goal_sets:
            kind = "human" if human else "synthetic"
            name = f"{kind}-{price_seed}-{shuffle_seed}-{source_key(self.digest)}"
            folder = cache_directory() / "goals" / name
            build_once(
                folder,
                lambda scratch: write_goals(
                    scratch, self.products, human, price_seed, shuffle_seed
                ),
            )
            self._goal_sets[key] = GoalSet(folder, self.product, human)
        return self._goal_sets[key]

    def _product(self, number: int) -> Product:
        return Product.load(self._records[number])

    def _card(self, number: int) -> tuple[str, str, str]:
        """Return ASIN, title and price tag."""
        asin, title, tag = json.loads(self._cards[number])
        return asin, title, tag

    def _search(self, query: str) -> tuple[int, ...]:
        return tuple(document for document, _ in self.index.search(query))


@lru_cache(maxsize=8)
def open_catalogue(folder: Path) -> Catalogue:
    """Open a prepared folder once per process."""
    return Catalogue(folder)
