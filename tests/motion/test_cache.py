"""What several threads ask of one cache is made once, and handed to all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from backend.motion.cache import Cache


def test_what_one_thread_makes_the_others_wait_for() -> None:
    made, asked, go = [], Event(), Event()

    def load(key: int) -> np.ndarray:
        made.append(key)
        asked.set()
        assert go.wait(10)
        return np.full(4, key)

    cache = Cache(1, load)  # holds the newest alone
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(cache.get, 7)
        assert asked.wait(10)
        others = [pool.submit(cache.get, 7), pool.submit(cache.find, 7)]
        assert cache.find(8) is None
        go.set()
        assert all(one.result(10) is first.result(10) for one in others)
    assert made == [7]
    assert cache.get(8)[0] == 8 and cache.find(7) is None
    assert cache.get(7)[0] == 7 and made == [7, 8, 7]


def test_what_cannot_be_made_is_told_to_all_and_tried_again() -> None:
    results: list[object] = [ValueError("gone"), "here"]

    def load(_: int) -> object:
        found = results.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    cache = Cache(1, load)
    with pytest.raises(ValueError, match="gone"):
        cache.get(1)
    assert cache.get(1) == "here"
