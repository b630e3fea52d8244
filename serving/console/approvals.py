"""Approvals: what waits for whose word, and the form by which they give it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.clock import DAY_MS
from core.errors import PlatformError
from core.sign_offs import VALID_MS
from serving.console.asking_controller import asked_of_controller
from serving.console.forms import line_of, number_of
from serving.console.pages import Asking, Drawn, Gone, Page
from serving.console.releases import numbered
from serving.console.rollouts import LONGEST_WHY, known_use_case
from serving.console.signing_off import signer_of, why_not
from stores.shelf.archives import archived
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import Asked, ChannelState
from stores.shelf.signing_off import role_on_paper, signed_off, stage_signed_off

LONGEST_NAME = 200
MOST_DAYS = 365
THEN: dict[str, Asked] = {"start": "start", "promote": "promote"}


def approvals(asked: Asking) -> Drawn:
    """Releases and stages that wait, of every use case that the key opens."""
    channels = asked.home.channels()
    names = asked.use_cases()
    waiting = [each for name in names for each in _releases(asked, name, channels.state(name))]
    facts = {
        "waiting": waiting,
        "stages": [each for name in names for each in _stages(asked, name, channels.state(name))],
        "cannot_sign": why_not(asked.home),
        "is_named": asked.key is not None,
        "who": asked.who,
        "days": VALID_MS // DAY_MS,
        "most_days": MOST_DAYS,
    }
    return Drawn("approvals.html", facts)


def sign(asked: Asking) -> Gone:
    """Sign a release off; ask for it to be served where the form says so and nobody is missing."""
    home, name, form = asked.home, known_use_case(asked), asked.form
    n, who = numbered(asked.path["release"]), _who(asked)
    comment = line_of(form, "comment", longest=LONGEST_WHY)
    missing = signed_off(
        home.shelf,
        home.keys,
        signer_of(home),
        name,
        n,
        who=who,
        role=role_on_paper(home.shelf, name, n, form.get("role")),
        comment=comment,
        now_ms=asked.now_ms,
        valid_days=number_of(form, "days", least=1, most=MOST_DAYS),
    )
    if missing:
        said = f"Signed. Still missing: {' and '.join(missing)}, each of another person."
        return Gone("/approvals", said)
    then = THEN.get(form.get("then", ""))
    if then is None or not asked.opens("operate", name):
        return Gone(f"/releases/{name}/{n}", "Signed. Nobody is missing: it may serve now.")
    path = f"/rollouts/{name}"
    return asked_of_controller(asked, then, path, why=comment, who=who, release=n)


def sign_stage(asked: Asking) -> Gone:
    """Let a rollout leave the stage that it is in."""
    home, name, who = asked.home, known_use_case(asked), _who(asked)
    why = line_of(asked.form, "comment", longest=LONGEST_WHY)
    state = home.channels().state(name)
    approval = stage_signed_off(signer_of(home), name, state, who=who, now_ms=asked.now_ms)
    path = f"/rollouts/{name}"
    return asked_of_controller(asked, "approve_stage", path, why=why, who=who, approval=approval)


def _who(asked: Asking) -> str:
    """Whose word it is: the key's owner; without keys, whoever writes a name."""
    return asked.who if asked.key else line_of(asked.form, "who", longest=LONGEST_NAME)


def _releases(asked: Asking, name: str, state: ChannelState) -> Iterator[dict[str, Any]]:
    """Releases newer than the champion that the rule passed and somebody has not signed yet."""
    home, keys = asked.home, asked.home.keys()
    for n in reversed(home.shelf.releases(name)):
        if n <= (state.champion or 0):
            return
        try:
            if archived(home.shelf, name, n) is not None:
                continue
            verdict = home.shelf.verdict(name, n, keys)
            missing = home.shelf.missing_approvals(name, n, keys, asked.now_ms)
            manifest = read_manifest(home.shelf.bundle(name, n))
        except PlatformError:  # its own page says what was changed
            continue
        if verdict is not None and verdict.is_passed and missing:
            yield {
                "use_case": name,
                "release": n,
                "missing": missing,
                "because": verdict.because,
                "tier": manifest.risk_tier,
                "built_by": manifest.built_by,
                "made_ms": manifest.created_at_ms,
                "has_rollout": manifest.rollout is not None and state.champion is not None,
                "may_sign": asked.opens("approve", name),
                "may_act": asked.opens("operate", name),
            }


def _stages(asked: Asking, name: str, state: ChannelState) -> Iterator[dict[str, Any]]:
    """The stage that a rollout may not leave by itself, when nobody has let it yet."""
    rollout = state.rollout
    if rollout is None or rollout.stage in rollout.approved_stages:
        return
    stage = rollout.plan.stages[rollout.stage]
    if rollout.risk_tier in stage.waits_for_person:
        yield {
            "use_case": name,
            "release": state.challenger,
            "stage": rollout.stage + 1,
            "n_stages": len(rollout.plan.stages),
            "weight": stage.weight,
            "since_ms": rollout.stage_started_at_ms,
            "may_sign": asked.opens("approve", name),
        }


PAGES = (
    Page("/approvals", approvals, "rollouts"),
    Page("/approvals/{use_case}/stage", sign_stage, "approve", "POST"),
    Page("/approvals/{use_case}/{release}", sign, "approve", "POST"),
)
