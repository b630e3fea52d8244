"""The daily archive: releases that served nobody for as long as is declared may serve no more."""

import dagster as dg

from assets import names
from assets.declared import Declared
from assets.registry import tracking_of
from assets.resources import Platform
from assets.results import Result, check
from core.archive import ReleaseFacts, stale_releases
from core.served import is_about_channels, last_served_ms
from core.use_case import UseCase
from stores.audit.log import AuditLog
from stores.shelf.archives import Archived, archive, archived
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import read_channels
from stores.shelf.shelf import Shelf

WHO = "the archive"
NONE_SERVES = "no_archived_release_serves"
MEANS = "No release that was archived stands in a channel."
EVERY_RECORD = 2**40


def archive_asset(declared: Declared) -> dg.AssetsDefinition:
    """Asset of the archive of all use cases."""
    key, use_cases = names.archive(), declared.use_cases.values()

    @dg.asset(
        key=key,
        deps=[names.release(use_case.name) for use_case in use_cases],
        description=(
            "Releases that served nobody for as long as their use case declares: archived, so that "
            "none of them is served again by mistake.\n\n"
            "Once a day. Bundles stay for replays until their retention is over.\n\n"
            "Read by the controller, which refuses them, and by `throughline releases`."
        ),
        group_name=names.RETENTION,
        owners=sorted({owner for use_case in use_cases for owner in use_case.owners}),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(NONE_SERVES, asset=key, description=MEANS)],
    )
    def archived_releases(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        made = {u.name: archived_now(platform, u) for u in use_cases}
        context.log.info("; ".join(f"{name}: {found}" for name, found in made.items() if found))
        return Result(
            metadata={"archived": {n: {str(r): w for r, w in f.items()} for n, f in made.items()}},
            check_results=[none_serves(platform, declared)],
        )

    return archived_releases


def archived_now(platform: Platform, use_case: UseCase) -> dict[int, str]:
    """Archive what is stale of a use case; which releases, and why each."""
    shelf, now_ms = Shelf(platform.layout.shelf), platform.clock.now_ms()
    stale = stale_now(platform, use_case)
    for release, because in stale.items():
        paper = Archived(
            use_case=use_case.name, release=release, who=WHO, because=because, at_ms=now_ms
        )
        archive(shelf, paper)
    if stale:
        from training.tracking import tag_archived

        tag_archived(tracking_of(platform, use_case.name), use_case.name, stale)
    return stale


def stale_now(platform: Platform, use_case: UseCase) -> dict[int, str]:
    """Releases of a use case that the rule would archive now, and why; nothing is changed."""
    layout, name = platform.layout, use_case.name
    shelf = Shelf(layout.shelf)
    channels = read_channels(layout).state(name)
    log = AuditLog.of(layout, is_signing=False)
    served_ms = last_served_ms(log.latest(EVERY_RECORD, is_about_channels), name)
    facts = [
        ReleaseFacts(
            release=number,
            idle_since_ms=max(
                read_manifest(shelf.bundle(name, number)).created_at_ms, served_ms.get(number, 0)
            ),
            is_served=number in channels.releases,
            is_archived=archived(shelf, name, number) is not None,
        )
        for number in shelf.releases(name)
    ]
    return stale_releases(
        facts,
        channels.former_champions,
        after_days=use_case.archive_after_days,
        now_ms=platform.clock.now_ms(),
    )


def none_serves(platform: Platform, declared: Declared) -> dg.AssetCheckResult:
    """Whether anything archived stands in a channel."""
    layout = platform.layout
    shelf = Shelf(layout.shelf)
    channels = read_channels(layout)
    serving = [
        f"release {release} of {name}"
        for name in declared.use_cases
        for release in channels.state(name).releases
        if archived(shelf, name, release) is not None
    ]
    return check(NONE_SERVES, passed=not serving, why=", ".join(serving), serving=len(serving))
