"""Releases: a bundle that the declared rule let through, signed; who serves it is asked after."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.checks.parity import parity_failure
from assets.lineage import last_metadata
from assets.models import MEANING, VERDICT
from assets.resources import Platform
from assets.results import check
from assets.tables import read_columns
from core.interface import following
from core.rows.event_versions import following_sources
from core.use_case import UseCase
from stores.keys.signing import ensure_signer, is_mounted
from stores.shelf.bundle import Bundle, Manifest, load_bundle
from stores.shelf.channels import Asked, read_channels
from stores.shelf.in_use import interfaces_served, sources_served
from stores.shelf.papers import VerdictStatement
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from training.verdict import Verdict

WHO = "release asset"


def release_asset(use_case: UseCase) -> dg.AssetsDefinition:
    """Asset of a use case's release."""
    key = names.release(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.bundle(use_case.name)],
        description=(
            f"The bundle of {use_case.name} that the declared rule let through, signed.\n\n"
            "One a release number. A refusal leaves no release and says why, in numbers.\n\n"
            "Served once the controller has taken it, with the approvals its risk tier needs."
        ),
        group_name=names.MODELS,
        owners=list(use_case.owners),
        kinds={"onnx"},
        check_specs=[dg.AssetCheckSpec(VERDICT, asset=key, description=MEANING[VERDICT])],
        output_required=False,
    )
    def release(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Any]:
        number = int(last_metadata(context, names.bundle(use_case.name))["release"])
        verdict = judged(
            platform, use_case, number, parity_failure(context.instance, use_case.name)
        )
        if verdict.is_better:
            yield dg.MaterializeResult(metadata=released(platform, use_case, number, verdict))
        yield check(
            VERDICT,
            passed=verdict.is_better,
            why=verdict.because,
            value=verdict.value,
            limit=verdict.limit,
            release=number,
        )

    return release


def judged(platform: Platform, use_case: UseCase, release: int, unequal: str = "") -> "Verdict":
    """The declared rule's word on a bundle, put down beside it, signed.

    While what is served is known to be ``unequal`` to what the tables say, none is let through.
    """
    from training.evaluation import evaluation_of
    from training.onnx_export import OnnxScorer
    from training.verdict import is_better

    layout = platform.layout
    shelf = Shelf(layout.shelf)
    signer = ensure_signer(layout.keys, "release")
    bundle = load_bundle(shelf.bundle(use_case.name, release))
    manifest = bundle.manifest
    rows = read_columns(layout.training(use_case.name), within=("snapshot", [manifest.snapshot_id]))
    evaluation = evaluation_of(
        use_case,
        manifest.plan,
        OnnxScorer(bundle.model).scores,
        rows,
        champion_bundle(platform, use_case.name, besides=release),
    )
    verdict = is_better(use_case.model, manifest.metrics, evaluation)
    verdict = held_to_contract(platform, manifest, verdict)
    if unequal:
        because = f"the last parity check failed, so no release is let through: {unequal}"
        verdict = verdict.model_copy(update={"is_better": False, "because": because})
    statement = VerdictStatement(
        use_case=use_case.name,
        release=release,
        manifest_digest=manifest.digest,
        rule=(
            f"{use_case.model.metric} above the champion's and {use_case.model.floor}, in no slice "
            f"surely lower by more than {use_case.model.slice_tolerance:g}, unfair to no group, "
            "breaking no caller of its contract and no sender of its events"
        ),
        is_passed=verdict.is_better,
        because=verdict.because,
        numbers=verdict.model_dump(mode="json"),
        at_ms=platform.clock.now_ms(),
    )
    shelf.write_verdict(statement, signer)
    return verdict


def held_to_contract(platform: Platform, manifest: Manifest, verdict: "Verdict") -> "Verdict":
    """The verdict, refused where callers of what serves now would not be answered any more.

    So it is where senders of events that are taken now would not be taken any more.
    """
    layout, use_case = platform.layout, manifest.use_case
    shelf, channels = Shelf(layout.shelf), read_channels(layout)
    served = interfaces_served(shelf, use_case, channels.state(use_case))
    verdict = verdict.held_to(following(manifest.interface, served))
    known, now_ms = sources_served(shelf, channels), platform.clock.now_ms()
    return verdict.held_to_events(following_sources(manifest.contract.sources, known, now_ms))


def champion_bundle(platform: Platform, use_case: str, *, besides: int = 0) -> Bundle | None:
    """Bundle of the release that serves; None when none does, or the one ``besides``."""
    layout = platform.layout
    channels = read_channels(layout)
    champion = channels.state(use_case).champion
    if champion is None or champion == besides:
        return None
    return load_bundle(Shelf(layout.shelf).bundle(use_case, champion))


def released(
    platform: Platform, use_case: UseCase, release: int, verdict: "Verdict"
) -> dict[str, Any]:
    """Sign a bundle, and ask the controller to serve it; what the UI shows of it."""
    layout = platform.layout
    shelf = Shelf(layout.shelf)
    shelf.sign(use_case.name, release, ensure_signer(layout.keys, "release"))
    if not is_mounted(layout.keys):  # where one person does all, `throughline approve` finds a key
        ensure_signer(layout.keys, "approval")
    if use_case.risk_tier == "low":  # the others need a person's approval first
        shelf.board.ask(
            _way_to_all(platform, use_case, verdict),
            use_case.name,
            release=release,
            why=verdict.because,
            who=WHO,
            at_ms=platform.clock.now_ms(),
        )
    return {
        "release": release,
        "verdict": verdict.because,
        "risk_tier": use_case.risk_tier,
        "dagster/row_count": 1,
        "path": dg.MetadataValue.path(str(shelf.release_folder(use_case.name, release))),
    }


def _way_to_all(platform: Platform, use_case: UseCase, verdict: "Verdict") -> Asked:
    """A declared rollout where there is a champion to compare with, else at once.

    No request fits two majors of a contract, so nobody can be told what a new one would do by
    shares.
    """
    layout, contract = platform.layout, verdict.contract
    channels = read_channels(layout)
    has_champion = channels.state(use_case.name).champion is not None
    is_new_major = contract is not None and contract.word == "new_major"
    is_by_shares = has_champion and use_case.rollout is not None and not is_new_major
    return "start" if is_by_shares else "promote"
