"""The toy plan with the next version of its view of cards."""

from bundles import TOY_PLAN

from core.features.plan import Plan

NEXT_PLAN: Plan = Plan.model_validate_json(
    TOY_PLAN.model_dump_json().replace("card_activity_v1", "card_activity_v2")
)
