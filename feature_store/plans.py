"""The plan of a use case, compiled once and kept: importing Feast takes seconds.

A kept plan is found by the digest of all the code that the declaration is made of, so an
edited declaration is compiled again and an unchanged one never is.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.consent import Consent, asked, asked_online, view_of
from core.errors import ConfigurationError
from core.features.plan import Plan, ViewPlan
from core.use_case import UseCase
from feature_store.agreement import check_agreement
from feature_store.fingerprint import code_digest
from stores.durable import write_durably
from stores.layout import Layout


def plan_for(use_case: UseCase, layout: Layout, *, is_kept: bool = True) -> Plan:
    """Plan of the feature service that a use case names.

    Parameters
    ----------
    use_case
        As discovery found it: its ``package`` says where its features are.
    layout
        Where compiled plans are kept.
    is_kept
        Keep a plan that had to be compiled; without it nothing is written.

    Raises
    ------
    ConfigurationError
        If the declaration is wrong or contradicts itself.
    """
    modules = (f"{use_case.package}.features", "feature_store.compile")
    key = code_digest(modules)[:24]
    consent = asked_online(use_case.consent)
    if consent is not None:
        key += f"-{consent.digest[:8]}"
    path = layout.plans / f"{use_case.name}-{use_case.service}-{key}.json"
    if path.is_file():
        plan = Plan.model_validate_json(path.read_bytes())
    else:
        plan = compile_use_case(use_case)
        if is_kept:
            layout.plans.mkdir(parents=True, exist_ok=True)
            write_durably(path, plan.model_dump_json(indent=1).encode())
    check_agreement(use_case, plan)
    return plan


def declared_once(layout: Layout) -> list[ViewPlan]:
    """Every view of a plan that was ever compiled for this home, each once, by name."""
    paths = sorted(layout.plans.glob("*.json"))
    plans = (Plan.model_validate_json(path.read_bytes()) for path in paths)
    found = {view.name: view for plan in plans for view in plan.views}
    return [found[name] for name in sorted(found)]


def compile_use_case(use_case: UseCase) -> Plan:
    """Plan of a use case, compiled now. Imports Feast."""
    from feature_store.catalogue import catalogue_of_module
    from feature_store.compile import compile_service, view_plan

    if not use_case.package:
        raise ConfigurationError(
            f"the use case {use_case.name!r} does not say where it was declared",
            found="package = ''",
            remedy="take it from use_cases.discover()",
        )
    catalogue = catalogue_of_module(f"{use_case.package}.features")
    plan = compile_service(catalogue.service(use_case.service), catalogue)
    consent = asked_online(use_case.consent)
    if consent is None:
        return plan
    return with_consent(plan, consent, [view_plan(view) for view in catalogue.views.values()])


def with_consent(plan: Plan, consent: Consent, views: Sequence[ViewPlan]) -> Plan:
    """The plan with the view that tells who opted out, which no vector needs: the newest of all.

    Raises
    ------
    ConfigurationError
        If there is none, or no view of the subject that could be withheld.
    """
    view = view_of(consent, views)
    if view is not None and view not in plan.views:
        plan = plan.model_copy(update={"views": (*plan.views, view)})
    asked(consent, plan)
    return plan
