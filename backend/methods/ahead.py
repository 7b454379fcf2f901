"""Several frames at a time, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST = 4  # threads: what a frame takes in memory while it is made is not counted anywhere

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``make`` of all ``items`` in their order; threads make as many ahead of that as there are cores.

    What ``make`` raises is raised here, in its place. Array libraries leave the interpreter to others while they work,
    and what the threads share must be safe to be asked by several, as ``Cache`` is.
    """
    threads = min(os.cpu_count() or 1, MOST)
    pool = ThreadPoolExecutor(threads)
    coming: deque[Future[Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(make, item))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
