"""All that the use cases declare together, each source and each view once, with its owners.

What a release in use reads belongs to it too, declared or no longer: a new version of a view
stands beside the old one until no release reads that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from core.contracts import Source
from core.errors import ConfigurationError
from core.features.plan import Plan, ViewPlan
from core.use_case import UseCase
from stores.shelf.bundle import Manifest


@dataclass(frozen=True)
class Declared:
    """Use cases with their plans, and the releases in use. Everything that assets are built from.

    ``in_use`` are manifests of releases in a channel, or that one can go back to
    (`stores.shelf.in_use`); their views and sources are kept up after a declaration dropped them.
    """

    use_cases: Mapping[str, UseCase]
    plans: Mapping[str, Plan]
    in_use: tuple[Manifest, ...] = ()

    @property
    def sources(self) -> dict[str, Source]:
        """Distinct sources, those that others refer to first; a declared contract goes before."""
        served = (s for manifest in self.in_use for s in manifest.contract.sources)
        declared = (s for use_case in self.use_cases.values() for s in use_case.sources)
        found = {source.name: source for source in chain(served, declared)}
        ordered: dict[str, Source] = {}
        for name in sorted(found):
            _append(found, name, ordered, ())
        return ordered

    @property
    def views(self) -> dict[str, ViewPlan]:
        """Distinct views of all plans, by name."""
        found: dict[str, ViewPlan] = {}
        for view, where in self._views():
            if found.setdefault(view.name, view) != view:
                raise ConfigurationError(
                    f"two plans mean different things by the view {view.name}",
                    found=f"another one in {where}",
                    remedy="give the new one another name: the next version (_v2)",
                )
        return dict(sorted(found.items()))

    def _views(self) -> Iterator[tuple[ViewPlan, str]]:
        for name, plan in self.plans.items():
            yield from ((view, f"use case {name}") for view in plan.views)
        for manifest in self.in_use:
            where = f"release {manifest.use_case}/{manifest.release}, which is in use"
            yield from ((view, where) for view in manifest.plan.views)

    def owners_of_view(self, view: str) -> list[str]:
        """Owners of all use cases whose plan, or whose release in use, reads a view."""
        plans = self.plans.items()
        users = [name for name, plan in plans if view in {v.name for v in plan.views}]
        owners = {owner for name in users for owner in self.use_cases[name].owners}
        for manifest in self.in_use:
            if view in {v.name for v in manifest.plan.views}:
                owners.update(manifest.owners)
        return sorted(owners)

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
