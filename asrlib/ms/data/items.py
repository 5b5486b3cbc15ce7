"""The utterances of a data set, made from tables on disk when they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Items(Sequence[T]):
    """Some of many items. make: the item of a number; every: all items in order, which is faster than one by one; numbers: those that are here."""

    def __init__(self, make: Callable[[int], T], every: Callable[[], Iterable[T]], numbers: np.ndarray):
        self.make, self.every, self.numbers = make, every, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        return self.make(int(self.numbers[index]))

    def __iter__(self) -> Iterator[T]:
        wanted = iter(self.numbers.tolist())
        following = next(wanted, None)
        for number, item in enumerate(self.every()):
            if number == following:
                yield item
                following = next(wanted, None)
            if following is None:
                return
