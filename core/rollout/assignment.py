"""Which arm of an experiment an entity belongs to: a published hash, the same for ever.

Any language can do it, with SHA-256 alone::

    part(text)  = length of the UTF-8 bytes, two bytes, big-endian; then the UTF-8 bytes
    message     = part(experiment) + part(key 1) + part(key 2) + ...
    point       = (first 8 bytes of SHA-256(message), as a big-endian integer) >> 11, over 2**53

Integers among the keys count as their decimal text; text is taken as it comes, without Unicode
normalisation. 53 bits are what a double holds exactly, so a point is one number everywhere, in
``[0, 1)``. Arms are laid side by side from 0 on in their order; what is left over belongs to the
rest. An entity in the first arm at 5 % is therefore in it at 15 % too. Two experiments with
different names assign independently of each other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from core.errors import ConfigurationError
from core.features.keys import entity_key

_POINT_BYTES = 8
_DROPPED_BITS = 11
_POINTS = 2**53
# Weights such as 0.1, 0.2 and 0.7 add up to a little more than one in floating point.
_ROUNDING = 1e-9


def assignment_point(experiment: str, entity: Sequence[str | int]) -> float:
    """Place of an entity in an experiment, uniform over entities.

    Parameters
    ----------
    experiment
        Name of the experiment; another name gives an independent place.
    entity
        Join key values in declared order.

    Returns
    -------
    float
        In ``[0, 1)``, a multiple of ``2**-53``.

    Raises
    ------
    InvalidInputError
        If there is no key value, or a text is not valid Unicode or over 65,535 bytes.

    Examples
    --------
    >>> assignment_point("fraud-12", ["card-1"])
    0.11217005068050134
    """
    message = entity_key([experiment, *_nonempty(entity)])
    first = hashlib.sha256(message).digest()[:_POINT_BYTES]
    return (int.from_bytes(first, "big") >> _DROPPED_BITS) / _POINTS


def _nonempty(entity: Sequence[str | int]) -> Sequence[str | int]:
    if not entity:
        entity_key(entity)  # refuses it, with its own message
    return entity


def arm_of(point: float, weights: Mapping[str, float], *, rest: str) -> str:
    """Arm that holds ``point``: arms lie side by side from 0 in their order, then the rest.

    Growing the first arm takes entities from those after it and gives none back. An arm after
    the first keeps its entities only while the arms before it keep their weights.

    Parameters
    ----------
    point
        In ``[0, 1)``, from `assignment_point`.
    weights
        Share of entities by arm, each in ``[0, 1]``, together at most 1.
    rest
        Name of the arm that gets what is left over.

    Raises
    ------
    ConfigurationError
        If a weight is not in ``[0, 1]`` or they add up to more than 1.

    Examples
    --------
    >>> arm_of(0.04, {"challenger": 0.05}, rest="champion")
    'challenger'
    >>> arm_of(0.05, {"challenger": 0.05}, rest="champion")
    'champion'
    """
    total = math.fsum(weights.values())
    if any(not 0 <= weight <= 1 for weight in weights.values()) or not total <= 1 + _ROUNDING:
        raise ConfigurationError(
            "weights of arms are not shares of one whole",
            found=str(dict(weights)),
            remedy="give each arm a share from 0 to 1, together at most 1",
            code="weights_not_shares",
        )
    end = 0.0
    for name, weight in weights.items():
        end += weight
        if point < end:
            return name
    return rest
