"""Least-recently-used caches that share a bound in bytes.

Everything that is kept of one shot (source frames, data layers, addresses, correspondences, surfels) shares ``MEMORY``,
so that a shot of any length and size takes no more than that, and what the step at hand needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

import numpy as np

MEMORY = 2 << 30  # bytes kept of one shot
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
        self.limit, self.used = limit, 0
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

    def get(self, key: Key) -> Item:
        """Return the item of ``key``, made now unless it is held."""
        if key not in self.items:
            item = self.load(key)
            self.put(key, item)
            return item
        self.items.move_to_end(key)
        self.budget.touch(self, key)
        return self.items[key]

    def put(self, key: Key, item: Item) -> None:
        """Hold ``item`` as the newest, and let go of the oldest beyond the limit."""
        self.items[key] = item
        self.items.move_to_end(key)
        self.budget.hold(self, key, array_bytes(item))
