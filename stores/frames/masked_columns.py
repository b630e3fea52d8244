"""Columns of Arrow tables with masks in the place of their values."""

from __future__ import annotations

import pyarrow as pa

from stores.masking import Mask


def masked_column(mask: Mask, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text column of masks; each distinct value is masked once, and null stays null.

    Raises
    ------
    InvalidInputError
        If a value is neither text nor integer, which no join key is.

    Examples
    --------
    >>> cards = pa.chunked_array([["c1", None], ["c1"]])
    >>> masked_column(Mask(b"k" * 32), cards).to_pylist()
    ['masked:243958db5918f877a2a7', None, 'masked:243958db5918f877a2a7']
    """
    encoded = column.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return pa.chunked_array([], pa.string())
    values = encoded.chunk(0).dictionary.to_pylist()
    masks = pa.array([mask.of(value) for value in values], pa.string())
    return pa.chunked_array([masks.take(chunk.indices) for chunk in encoded.chunks])
