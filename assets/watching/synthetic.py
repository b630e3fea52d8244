"""A request that we ask ourselves, as a product would: decided, recorded, read back, replayed.

Its event id marks it, so no statistic counts it. It pushes no event: what does not happen has no
place in the tables that models learn from.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.resources import Platform, Service
from assets.results import Result, check
from assets.watching.look import champion_bundle
from core.clock import HOUR_MS
from core.errors import PlatformError
from core.synthetic import MARK, synthetic_value
from core.use_case import UseCase
from stores.shelf.bundle import Contract

ANSWERED = "service_answers_as_it_should"
MEANS = (
    "A synthetic request is decided by the model, its record is found by its id and holds what was "
    "answered, and replaying it gives the same."
)


def synthetic_asset(use_case: UseCase) -> dg.AssetsDefinition:
    """Asset of a use case's synthetic requests."""
    name, key = use_case.name, names.synthetic(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.release(name)],
        description=(
            f"A synthetic request to {name}, through key, contract, features, model and record.\n\n"
            "One an hour, marked by its event id and left out of every statistic.\n\n"
            "Read by whoever is alerted: it fails when products would."
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(ANSWERED, asset=key, description=MEANS)],
        output_required=False,
    )
    def synthetic(
        context: dg.AssetExecutionContext, platform: Platform, service: Service
    ) -> Iterator[Any]:
        try:
            answer, faults = asked(platform, service, use_case)
        except PlatformError as error:
            yield check(ANSWERED, passed=False, why=str(error), code=error.code)
            return
        yield Result(metadata={"answer": answer})
        yield check(ANSWERED, passed=not faults, why="; ".join(faults))

    return synthetic


def request_of(contract: Contract, use_case: UseCase, now_ms: int) -> dict[str, Any]:
    """Body of the synthetic request of an hour."""
    given = use_case.watching.synthetic
    return {
        "event_id": f"{MARK}{now_ms // HOUR_MS}",
        "entities": {spec.name: synthetic_value(spec, given) for spec in contract.keys},
        "inputs": {spec.name: synthetic_value(spec, given) for spec in contract.inputs},
    }


def asked(
    platform: Platform, service: Service, use_case: UseCase
) -> tuple[dict[str, Any], list[str]]:
    """Answer to the request, and what is wrong with it, with its record or with its replay."""
    bundle = champion_bundle(platform, use_case.name)
    if bundle is None:
        return {}, ["no release serves, so there was nobody to ask"]
    contract = bundle.manifest.contract
    body = request_of(contract, use_case, platform.clock.now_ms())
    answer = service.ask(f"/v1/{use_case.name}/predictions", body, contract=contract.version)
    faults = answer_faults(answer)
    record_id = answer["prediction_id"]
    if record_id is not None:
        faults += record_faults(service.ask(f"/v1/predictions/{record_id}"), answer, body)
        replayed = service.ask(f"/v1/predictions/{record_id}/replay")
        faults += [] if replayed["is_equal"] else ["replaying its record gives something else"]
    return answer, faults


def answer_faults(answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer alone."""
    found, score, degraded = [], answer["score"], answer["degraded"]
    if degraded:
        found.append(f"answered, but degraded: {degraded['level']}, {degraded['because']}")
    elif score is None or not 0 <= score <= 1:
        found.append(f"the score {score} is no chance")
    return found


def record_faults(
    record: Mapping[str, Any], answer: Mapping[str, Any], body: Mapping[str, Any]
) -> list[str]:
    """What a record holds otherwise than it was asked and answered."""
    pairs = {
        "event_id": (record.get("event_id"), body["event_id"]),
        "score": (record["score"], answer["score"]),
        "decision": (record["decision"], answer["decision"]),
    }
    return [
        f"its record says {name} {held!r}, not {meant!r}"
        for name, (held, meant) in pairs.items()
        if held != meant
    ]
