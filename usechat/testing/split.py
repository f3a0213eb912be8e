"""Ways to cut a stream in pieces, for whatever should not care where the network cuts it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise


def every_split(data: bytes, pieces: int = 2) -> Iterator[list[bytes]]:
    """Every way to cut bytes in pieces, none of them empty.

    >>> list(every_split(b"abc"))
    [[b'a', b'bc'], [b'ab', b'c']]

    Args:
        data: what to cut; nothing comes of fewer bytes than pieces.
        pieces: how many. n bytes give n - 1 ways for 2, about n²/2 for 3.
    """
    for cuts in combinations(range(1, len(data)), pieces - 1):
        yield [data[a:b] for a, b in pairwise((0, *cuts, len(data)))]


def byte_by_byte(data: bytes) -> list[bytes]:
    """The bytes one by one: the most pieces there can be.

    >>> byte_by_byte(b"abc")
    [b'a', b'b', b'c']

    Args:
        data: what to cut.
    """
    return [data[i : i + 1] for i in range(len(data))]
