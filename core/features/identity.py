"""A plan or a view as the key of a cache."""

from __future__ import annotations

from typing import Generic, TypeVar

Declared = TypeVar("Declared")


class ByIdentity(Generic[Declared]):
    """Wraps what is slow to hash, or cannot be; equal to the same object only.

    Examples
    --------
    >>> from core.features.plan import ViewPlan
    >>> view = ViewPlan(name="v", entity="e", join_keys=("k",), source="s", columns={})
    >>> ByIdentity(view) == ByIdentity(view), ByIdentity(view) == ByIdentity(view.model_copy())
    (True, False)
    """

    __slots__ = ("object",)

    def __init__(self, object_: Declared) -> None:
        self.object = object_

    def __hash__(self) -> int:
        return id(self.object)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and self.object is other.object
