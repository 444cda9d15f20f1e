"""Arrays and byte records in memory-mapped files, which processes share."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def map_array(folder: Path, name: str) -> Array:
    """Return the array of `name.npy`, mapped read-only.

    A plain `ndarray` over the mapping: `np.memmap` costs microseconds more for every slice.
    """
    mapped: Array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return mapped.view(np.ndarray)


class RecordWriter:
    """Writes byte strings one after the other into `name.bin`; at the end, their offsets.

    A context manager.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = (folder / f"{name}.bin").open("wb")
        self._offsets = array("q", [0])

    def append(self, record: bytes) -> None:
        """Add one record."""
        self._file.write(record)
        self._offsets.append(self._offsets[-1] + len(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        np.save(self._folder / f"{self._name}.offsets.npy", np.frombuffer(self._offsets, np.int64))

    @classmethod
    def write(cls, folder: Path, name: str, records: Iterable[bytes]) -> None:
        """Write all records at once."""
        with cls(folder, name) as writer:
            for record in records:
                writer.append(record)


class Records:
    """The byte strings that a `RecordWriter` wrote, mapped read-only."""

    def __init__(self, folder: Path, name: str) -> None:
        self._offsets = map_array(folder, f"{name}.offsets")
        with (folder / f"{name}.bin").open("rb") as file:
            empty = self._offsets[-1] == 0
            self._bytes: Any = (
                b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> bytes:
        start, end = self._offsets[number : number + 2].tolist()
        return bytes(self._bytes[start:end])

    def find(self, record: bytes) -> int | None:
        """Return the position of a record if the records are sorted and hold it."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < record:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self[low] == record else None
