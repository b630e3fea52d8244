"""JSON of many predictions: what several share is put into it once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from serving.json_parts import json_part
from serving.ports import Json

_encoder = msgspec.json.Encoder()


def predictions_json(predictions: Sequence[Json]) -> bytes:
    """JSON of an answer with predictions, byte for byte as if each were put into it by itself.

    The candidates of one request mostly have model, features and timings in common, which are
    three quarters of their JSON.

    Examples
    --------
    >>> both = {"model": {"name": "fraud"}, "features": {}, "timings_ms": {}}
    >>> predictions_json([{"score": 1, **both}, {"score": 2, **both}])[:61]
    b'{"predictions":[{"score":1,"model":{"name":"fraud"},"features'
    """
    known: dict[int, msgspec.Raw] = {}  # features in JSON, by what the predictions hold on to
    model = timings_ms = object()  # none of those that come
    model_json, timings_json = msgspec.Raw(), msgspec.Raw()
    shared = []
    for prediction in predictions:
        if prediction["model"] is not model:
            model = prediction["model"]
            model_json = json_part(model)
        if prediction["timings_ms"] is not timings_ms:
            timings_ms = prediction["timings_ms"]
            timings_json = json_part(timings_ms)
        features = prediction["features"]
        features_json = known.get(id(features))
        if features_json is None:
            features_json = known[id(features)] = json_part(features)
        ready = {"model": model_json, "features": features_json, "timings_ms": timings_json}
        shared.append(prediction | ready)
    return _encoder.encode({"predictions": shared})
