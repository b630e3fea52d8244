"""A view as the key of a cache."""

from __future__ import annotations

from core.features.plan import ViewPlan


class ByIdentity:
    """Wraps a view, which holds a dict and so cannot be hashed; equal to the same object only.

    Examples
    --------
    >>> view = ViewPlan(name="v", entity="e", join_keys=("k",), source="s", columns={})
    >>> ByIdentity(view) == ByIdentity(view), ByIdentity(view) == ByIdentity(view.model_copy())
    (True, False)
    """

    __slots__ = ("view",)

    def __init__(self, view: ViewPlan) -> None:
        self.view = view

    def __hash__(self) -> int:
        return id(self.view)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and self.view is other.view
