"""Entity keys and positions: the two identities that every store and engine shares.

An entity key is the join key values in declared order, each as UTF-8 with its length in
two big-endian bytes before it, integers as decimal text. No two tuples share a key:
``("1", "11")`` and ``("11", "1")`` differ, and so do ``("",)`` and ``("", "")``.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InvalidInputError

_LENGTH_BYTES = 2
_MAX_PART_BYTES = 2 ** (8 * _LENGTH_BYTES) - 1
_LENGTHS = tuple(n_bytes.to_bytes(_LENGTH_BYTES, "big") for n_bytes in range(128))
"""Of nearly all parts: put down once, they need not be made for each."""
_OFFSET_BITS = 32
LAST_OFFSET = 2**32 - 1
"""Offset that stands for the end of an epoch: no row has one as great."""
_MAX_EPOCH = 2**31 - 1


def entity_key(values: Sequence[str | int]) -> bytes:
    r"""Bytes that name an entity, the same in every store.

    Parameters
    ----------
    values
        Join key values in declared order. Integers count as their decimal text.

    Raises
    ------
    InvalidInputError
        If there is no value, a value is neither text nor integer, is not valid Unicode,
        or takes more than 65,535 bytes.

    Examples
    --------
    >>> entity_key(["c1", 7])
    b'\x00\x02c1\x00\x017'
    >>> entity_key(["1", "11"]) == entity_key(["11", "1"])
    False
    """
    if not values:
        raise InvalidInputError(
            "an entity key has no part", remedy="give one value for each join key"
        )
    if len(values) == 1:
        return _part(values[0])
    return b"".join([_part(value) for value in values])


def _part(value: str | int) -> bytes:
    if type(value) is not str and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise InvalidInputError(
            "a join key value is neither text nor integer",
            found=type(value).__name__,
            remedy="declare the join key as string or int64",
        )
    try:
        encoded = value.encode() if type(value) is str else str(value).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "a join key value is not valid Unicode", remedy="send text that UTF-8 can carry"
        ) from error
    if len(encoded) > _MAX_PART_BYTES:
        raise InvalidInputError(
            "a join key value is too long",
            found=f"{len(encoded)} bytes",
            remedy=f"keep it within {_MAX_PART_BYTES} bytes",
        )
    if len(encoded) < len(_LENGTHS):
        return _LENGTHS[len(encoded)] + encoded
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


def position(epoch: int, offset: int) -> int:
    """Place of a row in the log of a one-partition source; later rows have greater ones.

    Examples
    --------
    >>> position(3, 7)
    12884901895
    >>> position(3, 2**32 - 1) < position(4, 0)
    True

    Raises
    ------
    InvalidInputError
        If ``epoch`` is not in ``[0, 2**31)`` or ``offset`` not in ``[0, 2**32)``.
    """
    if not (0 <= epoch <= _MAX_EPOCH and 0 <= offset <= LAST_OFFSET):
        raise InvalidInputError(
            "a position is out of range",
            found=f"epoch {epoch}, offset {offset}",
            remedy="keep epochs below 2**31 and offsets below 2**32",
        )
    return (epoch << _OFFSET_BITS) + offset


def epoch_of(position: int) -> int:
    """Epoch that holds ``position``.

    Examples
    --------
    >>> epoch_of(position(3, 7))
    3
    """
    return position >> _OFFSET_BITS


def offset_of(position: int) -> int:
    """Offset of ``position`` in its epoch.

    Examples
    --------
    >>> offset_of(position(3, 7))
    7
    """
    return position & LAST_OFFSET
