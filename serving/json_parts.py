"""Parts of JSON: what stands in several texts is put into JSON once."""

from __future__ import annotations

import msgspec

_encoder = msgspec.json.Encoder()


def json_part(value: object) -> msgspec.Raw:
    """A value in JSON, which stands in other JSON as it is.

    Examples
    --------
    >>> model = json_part({"name": "fraud"})
    >>> msgspec.json.encode([{"score": 1, "model": model}, {"score": 2, "model": model}])
    b'[{"score":1,"model":{"name":"fraud"}},{"score":2,"model":{"name":"fraud"}}]'
    """
    return msgspec.Raw(_encoder.encode(value))
