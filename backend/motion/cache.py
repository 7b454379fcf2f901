"""A least-recently-used cache with a bound in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def array_bytes(item: Any) -> int:
    """Count the bytes of an array, or of the arrays that are fields of a dataclass."""
    if isinstance(item, np.ndarray):
        return item.nbytes
    return sum(array_bytes(getattr(item, f.name)) for f in fields(item)) if is_dataclass(item) else 0


class Cache(Generic[Key, Item]):
    """Holds what ``load`` made most recently, within ``limit`` bytes; the newest stays even when it alone is larger."""

    def __init__(self, limit: int, load: Callable[[Key], Item]) -> None:
        self.limit, self.load, self.used = limit, load, 0
        self.items: OrderedDict[Key, Item] = OrderedDict()

    def get(self, key: Key) -> Item:
        """Return the item of ``key``, made now unless it is held."""
        if key not in self.items:
            self.put(key, self.load(key))
            return self.items[key]
        self.items.move_to_end(key)
        return self.items[key]

    def put(self, key: Key, item: Item) -> None:
        """Hold ``item`` as the newest, and let go of the oldest beyond the limit."""
        if key in self.items:
            self.used -= array_bytes(self.items.pop(key))
        self.items[key] = item
        self.used += array_bytes(item)
        while self.used > self.limit and len(self.items) > 1:
            self.used -= array_bytes(self.items.popitem(last=False)[1])
