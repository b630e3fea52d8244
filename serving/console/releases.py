"""Releases: which there are, and all that is known of one before somebody signs it off."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from core.errors import PlatformError
from core.sign_offs import roles_of
from serving.console.metrics import METRICS
from serving.console.pages import Asking, Drawn, Home, Page, Sent
from serving.errors import NotFoundError
from stores.plain_files import read_plain
from stores.shelf.bundle import CARD, Manifest, read_manifest
from stores.shelf.channels import ChannelState
from stores.shelf.standing import judged, where_it_is
from stores.view_reports import ViewReports

MOST_CARD_BYTES, MOST_PICTURE_BYTES = 1 << 20, 4 << 20
_PICTURE = re.compile(r"[a-z][a-z0-9_]{0,60}\.png")
_RUN = re.compile(r"[0-9a-f]{32}")
KINDS = {"passed": "good", "refused": "bad", "not judged": "warn"}


def releases(asked: Asking) -> Drawn:
    """Every release, the newest first; of one use case where the address names it."""
    wanted, channels = asked.query.get("use_case", ""), asked.home.channels()
    names = asked.use_cases()
    rows = [
        _row(asked, name, release, channels.state(name))
        for name in names
        if wanted in ("", name)
        for release in reversed(asked.home.shelf.releases(name))
    ]
    return Drawn("releases.html", {"rows": rows, "names": names, "wanted": wanted, "kinds": KINDS})


def release(asked: Asking) -> Drawn:
    """One release."""
    home, name, n = asked.home, asked.path["use_case"], numbered(asked.path["release"])
    folder = home.shelf.bundle(name, n)
    manifest, keys = read_manifest(folder), home.keys()
    trouble = ""
    try:
        home.shelf.verify(name, n, keys)
    except PlatformError as error:
        trouble = str(error)
    facts = {
        **_row(asked, name, n, home.channels().state(name)),
        "manifest": manifest,
        "trouble": trouble,
        "verdict": _or_none(lambda: home.shelf.verdict(name, n, keys)),
        "roles": roles_of(manifest.risk_tier, manifest.sign_offs),
        "approvals": _or_none(lambda: home.shelf.approvals(name, n, keys)) or (),
        "card": _card(folder, manifest),
        "view_reports": _or_none(
            lambda: ViewReports(home.layout.view_reports).about(manifest.plan.views)
        ),
        "pictures": [path.name for path in _pictures(home, manifest)],
        "may_sign": asked.opens("approve", name),
        "may_act": asked.opens("operate", name),
        "kinds": KINDS,
        "metrics": METRICS,
    }
    return Drawn("release.html", facts)


def picture(asked: Asking) -> Sent:
    """One of the pictures that were drawn when the candidate was evaluated."""
    name, n, wanted = asked.path["use_case"], numbered(asked.path["release"]), asked.path["name"]
    manifest = read_manifest(asked.home.shelf.bundle(name, n))
    for path in _pictures(asked.home, manifest):
        if path.name == wanted:
            return Sent(read_plain(path, most_bytes=MOST_PICTURE_BYTES), "image/png")
    raise NotFoundError("there is no such picture", remedy="load the release's page again")


def numbered(text: str) -> int:
    """Number of a release in an address.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise NotFoundError("that is no number of a release", remedy="look at the list of releases")
    return int(text)


def _row(asked: Asking, name: str, n: int, state: ChannelState) -> dict[str, Any]:
    """What a list says of a release; ``not known`` where what is beside it was changed."""
    home = asked.home
    shelf, keys = home.shelf, home.keys()
    row: dict[str, Any] = {"use_case": name, "release": n, "why": ""}
    try:
        manifest = read_manifest(shelf.bundle(name, n))
        row |= {"made_ms": manifest.created_at_ms, "kind": manifest.model_kind}
        row |= {"where": where_it_is(shelf, name, n, state)}
        row |= {"rule": judged(shelf, name, n, keys)}
        row |= {"missing": shelf.missing_approvals(name, n, keys, asked.now_ms)}
    except PlatformError as error:
        known = {"made_ms": None, "kind": "not known", "where": "not known", "rule": "not known"}
        row = {**known, "missing": (), **row, "why": str(error)}
    return row


def _or_none(read: Any) -> Any:
    """What is read, or None where it was changed: the page says so."""
    try:
        return read()
    except PlatformError:
        return None


def _card(folder: Path, manifest: Manifest) -> Markup:
    """The model card as a page; nothing where it is not the one that was signed."""
    from markdown_it import MarkdownIt

    if CARD not in manifest.files:
        return Markup()
    content = read_plain(folder / CARD, most_bytes=MOST_CARD_BYTES)
    if hashlib.sha256(content).hexdigest() != manifest.files[CARD]:
        return Markup()
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Its own markup only: HTML in the text of a card is escaped.
    return Markup(parser.render(content.decode(errors="replace")))  # noqa: S704


def _pictures(home: Home, manifest: Manifest) -> list[Path]:
    """Pictures of the run that made it, where the runs of this home lie on this machine."""
    if not _RUN.fullmatch(manifest.mlflow_run_id):
        return []
    folder = home.layout.artifacts / manifest.mlflow_run_id / "artifacts" / "plots"
    return sorted(path for path in folder.glob("*.png") if _PICTURE.fullmatch(path.name))


PAGES = (
    Page("/releases", releases, "rollouts"),
    Page("/releases/{use_case}/{release}", release, "rollouts"),
    Page("/releases/{use_case}/{release}/pictures/{name}", picture, "rollouts"),
)
