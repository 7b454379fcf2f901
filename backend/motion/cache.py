"""Least-recently-used caches that share a bound in bytes.

What is kept of one shot (addresses, surfels, chains) shares ``MEMORY``, so that a shot of any length and size takes no
more than that, and what the step at hand needs. Source frames, data layers, slopes and correspondences have bounds of
their own: they are read soon, or large, or many, and would drive out addresses that are needed all along. Footage has
no data layers, and their memory as well.

Several threads may ask at once: what one of them is making the others wait for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import fields, is_dataclass
from threading import RLock
from typing import Any, Generic, TypeVar

import numpy as np

MEMORY = 9 << 27  # bytes kept of one shot,
PICTURES = 3 << 27  # of its source frames,
LAYERS = 5 << 27  # of its data layers, of which three of 1920 x 1080 fit,
PAIRS = 2 << 27  # and of its correspondences
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def array_bytes(item: Any) -> int:
    """Count the bytes of an array, or of the arrays that are fields of a dataclass."""
    if isinstance(item, np.ndarray):
        return item.nbytes
    return sum(array_bytes(getattr(item, f.name)) for f in fields(item)) if is_dataclass(item) else 0


class Budget:
    """Bytes that several caches may hold together; what was used longest ago goes first, in whichever of them it is.

    The newest item stays even when it alone is larger than ``limit``.
    """

    def __init__(self, limit: int = MEMORY) -> None:
        self.limit, self.used, self.lock = limit, 0, RLock()
        self._sizes: OrderedDict[tuple[Cache, Hashable], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sizes)

    def hold(self, cache: Cache, key: Hashable, size: int) -> None:
        """Count ``size`` bytes for an item just put into ``cache``, and let go of the oldest beyond the limit."""
        self.used += size - self._sizes.pop((cache, key), 0)
        self._sizes[cache, key] = size
        while self.used > self.limit and len(self._sizes) > 1:
            (old, name), freed = self._sizes.popitem(last=False)
            self.used -= freed
            del old.items[name]

    def touch(self, cache: Cache, key: Hashable) -> None:
        """Count an item as used just now."""
        self._sizes.move_to_end((cache, key))


class Cache(Generic[Key, Item]):
    """Holds what ``load`` made most recently, within a ``Budget`` or so many bytes of its own."""

    def __init__(self, limit: int | Budget, load: Callable[[Key], Item]) -> None:
        self.budget = limit if isinstance(limit, Budget) else Budget(limit)
        self.load = load
        self.items: OrderedDict[Key, Item] = OrderedDict()
        self._coming: dict[Key, Future[Item]] = {}

    def get(self, key: Key) -> Item:
        """Return the item of ``key``, made now unless it is held."""
        with self.budget.lock:
            if key in self.items:
                self.items.move_to_end(key)
                self.budget.touch(self, key)
                return self.items[key]
            coming = self._coming.get(key)
            if coming is None:
                made = self._coming[key] = Future()
        return self._make(key, made) if coming is None else coming.result()

    def _make(self, key: Key, made: Future[Item]) -> Item:
        """Make the item of ``key``, hold it, and hand it to the threads that wait for it."""
        try:
            item = self.load(key)
        except BaseException as error:
            del self._coming[key]
            made.set_exception(error)
            raise
        self.put(key, item)
        del self._coming[key]
        made.set_result(item)
        return item

    def find(self, key: Key) -> Item | None:
        """Return the item of ``key`` if it is held, or another thread is about to hold it; None else."""
        with self.budget.lock:
            known = key in self.items or key in self._coming
        return self.get(key) if known else None

    def put(self, key: Key, item: Item) -> None:
        """Hold ``item`` as the newest, and let go of the oldest beyond the limit."""
        with self.budget.lock:
            self.items[key] = item
            self.items.move_to_end(key)
            self.budget.hold(self, key, array_bytes(item))
