"""``releases``: what is on the shelf, what served at an instant, model cards, the archive."""

import argparse
from datetime import UTC, datetime
from functools import partial

from core.errors import PlatformError
from core.interface import following
from core.rows.event_versions import following_sources
from core.served import Served, is_about_channels, served_at
from core.use_case import UseCase
from orchestration.channels import channels_of
from orchestration.commands.predict import declared
from orchestration.commands.train import instant_ms
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell, table
from stores.audit.log import AuditLog
from stores.audit.user import user_name
from stores.cold.tier import ColdTier
from stores.keys.signing import KeyRing
from stores.shelf.archives import restore
from stores.shelf.bundle import CARD, CARD_DATA, interface_of, load_bundle, read_manifest
from stores.shelf.channels import ChannelState
from stores.shelf.history import champion_at
from stores.shelf.in_use import interfaces_served, sources_served
from stores.shelf.shelf import Shelf
from stores.shelf.standing import judged, where_it_is

EVERY_RECORD = 2**40
HEADS = (
    "release", "made (UTC)", "kind", "contract", "the rule", "sign-offs missing", "where it is",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shown = actions.add_parser("list", help="every release on the shelf, and where it stands")
    live = actions.add_parser("live", help="what served at an instant, by the audit log")
    live.add_argument("--at", metavar="INSTANT", help="ISO 8601 UTC; default now")
    card = actions.add_parser("card", help="the model card of a release")
    card.add_argument("--json", action="store_true", help="as data")
    back = actions.add_parser("restore", help="let an archived release serve again")
    back.add_argument("--why", required=True, type=reason_on_paper, help="kept in the record")
    back.add_argument("--who", type=name_on_paper, help="default the user's name")
    contract = actions.add_parser("contract", help="what the declared contract changes for callers")
    for each in (shown, live, card, back, contract):
        each.add_argument("use_case")
    for each in (card, back):
        each.add_argument("release", type=int)


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List, tell what was live, show a card, or restore."""
    declaration = declared(shell, arguments.use_case)
    use_case = declaration.name
    if arguments.action == "contract":
        return _contract(shell, declaration)
    if arguments.action == "list":
        return _list(shell, use_case)
    if arguments.action == "live":
        at_ms = instant_ms(arguments.at) if arguments.at else shell.clock.now_ms()
        return _live(shell, use_case, at_ms)
    if arguments.action == "card":
        shelf = Shelf(shell.settings.layout.shelf)
        files = load_bundle(shelf.bundle(use_case, arguments.release)).files
        shell.say(files[CARD_DATA if arguments.json else CARD].decode().rstrip("\n"))
        return 0
    return _restore(shell, use_case, arguments)


def _list(shell: Shell, use_case: str) -> int:
    shelf, state = Shelf(shell.settings.layout.shelf), channels_of(shell).state(use_case)
    releases = shelf.releases(use_case)
    if not releases:
        shell.say(f"{use_case} has no release yet")
        shell.next(f"throughline train {use_case}")
        return 0
    shell.say(table([HEADS, *(_row(shell, shelf, use_case, n, state) for n in releases)]))
    return 0


def _row(
    shell: Shell, shelf: Shelf, use_case: str, release: int, state: ChannelState
) -> tuple[str, ...]:
    keys = KeyRing.from_directory(shell.settings.layout.keys)
    manifest = read_manifest(shelf.bundle(use_case, release))
    try:
        rule = judged(shelf, use_case, release, keys)
        missing = shelf.missing_approvals(use_case, release, keys, shell.clock.now_ms())
    except PlatformError as error:
        rule, missing = str(error)[:60], ("not known",)
    made = _utc(manifest.created_at_ms)
    where = where_it_is(shelf, use_case, release, state)
    what = str(release), made, manifest.model_kind, manifest.contract.version
    return *what, rule, " and ".join(missing) or "-", where


def _live(shell: Shell, use_case: str, at_ms: int) -> int:
    layout = shell.settings.layout
    records = AuditLog.of(layout, is_signing=False).latest(EVERY_RECORD, is_about_channels)
    found = served_at(records, use_case, at_ms)
    shell.say(f"{_utc(at_ms)} UTC: {found.sentence()}")
    if found.n:
        shell.say(f"since {_utc(found.since_ms)} UTC, by {found.who}: {found.why[:300]}")
        shell.say(f"audit record {found.n}{_manifest(found)}")
    return _compared(shell, use_case, at_ms, found)


def _manifest(found: Served) -> str:
    return f"; manifest {found.manifest_digest}" if found.manifest_digest else ""


def _compared(shell: Shell, use_case: str, at_ms: int, found: Served) -> int:
    """Hold the answer to the signed channels of that time; 4 where they disagree."""
    layout = shell.settings.layout
    signed = champion_at(layout.shelf, KeyRing.from_directory(layout.keys), use_case, at_ms)
    if signed is None or signed.champion == found.champion:
        return 0
    shell.say(
        f"the signed channels of that time ({signed.counter}) say otherwise: champion "
        f"{signed.champion}. The audit log lacks a move, or begins later: "
        "`throughline audit verify`, and read docs/audit.md"
    )
    return 4


def _contract(shell: Shell, use_case: UseCase) -> int:
    """Hold the declared contract to what is served; 4 where no release with it would be let by."""
    from feature_store.plans import plan_for
    from training.contract import contract_of

    layout = shell.settings.layout
    contract = contract_of(use_case, plan_for(use_case, layout, is_kept=False))
    mine = interface_of(contract, use_case.decisions, use_case.degradation)
    shelf, channels = Shelf(layout.shelf), channels_of(shell)
    found = following(mine, interfaces_served(shelf, use_case.name, channels.state(use_case.name)))
    if found is None:
        shell.say(f"contract {mine.version} of {use_case.name}; no release serves yet")
        return 0
    shell.say(f"{use_case.name}: {found.sentence()}")
    served = sources_served(shelf, channels)
    events = following_sources(use_case.sources, served, shell.clock.now_ms())
    for each in events:
        if each.word != "same":
            shell.say(each.sentence())
    changes = [change for each in (found, *events) for change in each.changes]
    if changes:
        rows = [(c.where, c.what, "breaks" if c.is_breaking else "") for c in changes]
        shell.say(table([("where", "what changes", "callers"), *rows]))
    return 0 if all(each.is_allowed for each in (found, *events)) else 4


def _restore(shell: Shell, use_case: str, arguments: argparse.Namespace) -> int:
    who = arguments.who or user_name()
    layout = shell.settings.layout
    shelf, now_ms = Shelf(layout.shelf), shell.clock.now_ms()
    back = partial(ColdTier(layout).take_back, f"bundles/{use_case}", str(arguments.release))
    back()  # first the files, then the word: a release that may serve is whole
    restore(shelf, use_case, arguments.release, who=who, why=arguments.why, at_ms=now_ms)
    back()  # what a sweep moved meanwhile; it moves none that is not archived
    shell.say(f"release {arguments.release} of {use_case} may serve again")
    shell.next(f"throughline approve {use_case} {arguments.release} --who WHO")
    return 0


def _utc(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
