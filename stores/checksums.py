"""CRC-32 of bytes: what zlib says, by compiled code where it is there (`stores.merging`).

zlib 1.2 takes 3.7 instructions a byte, which was a twentieth of a hundred candidates' request.
"""

from __future__ import annotations

import zlib

from stores.merging import compiled_merge


def crc32(data: bytes) -> int:
    """CRC-32 as `zlib.crc32` has it.

    Examples
    --------
    >>> crc32(b"123456789") == zlib.crc32(b"123456789") == 0xCBF43926
    True
    """
    library = compiled_merge()
    if library is None:
        return zlib.crc32(data)
    found: int = library.throughline_crc(data, len(data))
    return found
