"""All that the use cases declare together: each source and each view once, with its owners."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.contracts import Source
from core.errors import ConfigurationError
from core.features.plan import Plan, ViewPlan
from core.use_case import UseCase


@dataclass(frozen=True)
class Declared:
    """Use cases with their plans. Everything that assets are built from."""

    use_cases: Mapping[str, UseCase]
    plans: Mapping[str, Plan]

    @property
    def sources(self) -> dict[str, Source]:
        """Distinct sources, those that others refer to first."""
        found = {s.name: s for use_case in self.use_cases.values() for s in use_case.sources}
        ordered: dict[str, Source] = {}
        for name in sorted(found):
            _append(found, name, ordered, ())
        return ordered

    @property
    def views(self) -> dict[str, ViewPlan]:
        """Distinct views of all plans, by name."""
        found: dict[str, ViewPlan] = {}
        for plan in self.plans.values():
            for view in plan.views:
                if found.setdefault(view.name, view) != view:
                    raise ConfigurationError(
                        f"two plans mean different things by the view {view.name}",
                        remedy="give one of them another name",
                    )
        return dict(sorted(found.items()))

    def owners_of_view(self, view: str) -> list[str]:
        """Owners of all use cases whose plan reads a view."""
        plans = self.plans.items()
        users = [name for name, plan in plans if view in {v.name for v in plan.views}]
        return sorted({owner for name in users for owner in self.use_cases[name].owners})

    def views_of_source(self, source: str) -> list[ViewPlan]:
        """Views that are computed from a source."""
        return [view for view in self.views.values() if view.source == source]


def _append(
    found: Mapping[str, Source], name: str, ordered: dict[str, Source], above: tuple[str, ...]
) -> None:
    """Put a source after all that it refers to."""
    if name in ordered or name in above:
        return
    for reference in found[name].references:
        if reference.source in found:
            _append(found, reference.source, ordered, (*above, name))
    ordered[name] = found[name]
