"""Rollouts: where each stands, and what a person may ask of the controller."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.errors import PlatformError
from serving.console.asking_controller import asked_of_controller
from serving.console.forms import line_of, number_of
from serving.console.pages import Asking, Drawn, Gone, Page
from serving.console.rollout_page import rollout_facts
from serving.errors import NotFoundError
from serving.rollouts.views import rollout_view
from stores.shelf.archives import archived
from stores.shelf.channels import Asked, ChannelState
from stores.shelf.returning import refusal_of, seen_by
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf

LONGEST_WHY = 2_000
MOST_RELEASE = 999_999_999


@dataclass(frozen=True)
class Action:
    """What a form may ask: its address, its words, and the releases to choose from."""

    name: str
    asked: Asked
    title: str
    said: str
    releases: tuple[int, ...] = ()
    is_grave: bool = False
    is_at_once: bool = False
    refuses: tuple[str, ...] = ()
    """Whom it would refuse, a sentence a release: it asks for a word that they may be."""


def rollouts(asked: Asking) -> Drawn:
    """Every use case: who serves whom."""
    channels, board = asked.home.channels(), RolloutBoard(asked.home.layout.shelf)
    rows = []
    for name in asked.use_cases():
        state, last, is_unread = channels.state(name), None, False
        try:
            last = board.standing(name, state).rollout
        except PlatformError:  # its own page says what is wrong
            is_unread = True
        rows.append({"name": name, "state": state, "rollout": last, "is_unread": is_unread})
    return Drawn("rollouts.html", {"rows": rows})


def rollout(asked: Asking) -> Drawn:
    """One rollout, and what may be asked of it."""
    home, name = asked.home, known_use_case(asked)
    state = home.channels().state(name)
    view = rollout_view(name, state, RolloutBoard(home.layout.shelf))
    may_act = asked.opens("operate", name)
    actions = shown_actions(asked, name, state) if may_act else ()
    return Drawn("rollout.html", {**rollout_facts(view), "actions": actions})


def act(asked: Asking) -> Gone:
    """Ask the controller for what a form said."""
    name = known_use_case(asked)
    state = asked.home.channels().state(name)
    actions = {each.name: each for each in actions_of(asked.home.shelf, name, state)}
    action = actions.get(asked.path["action"])
    if action is None:
        raise NotFoundError(
            "that cannot be asked of this rollout now",
            found="another state than when the page was loaded" if actions else "nothing to move",
            remedy="load its page again: it shows what can",
            code="no_such_action",
        )
    release = None
    if action.releases:
        release = number_of(asked.form, "release", least=1, most=MOST_RELEASE)
    elif action.asked == "promote":
        release = state.challenger
    why = line_of(asked.form, "why", longest=LONGEST_WHY)
    path = f"/rollouts/{name}"
    return asked_of_controller(
        asked,
        action.asked,
        path,
        why=why,
        who=asked.who,
        release=release,
        is_at_once=action.is_at_once,
        may_refuse=asked.form.get("may_refuse") == "yes",
    )


def known_use_case(asked: Asking) -> str:
    """The use case that the path names, when it has a release.

    Raises
    ------
    NotFoundError
        If it has none.
    """
    name = asked.path["use_case"]
    if name not in asked.home.shelf.use_cases():
        raise NotFoundError(
            "there is no such use case here",
            remedy="one is shown once it has a release on the shelf",
            code="unknown_use_case",
        )
    return name


def shown_actions(asked: Asking, use_case: str, state: ChannelState) -> tuple[Action, ...]:
    """What may be asked now, with whom each would refuse."""
    actions = actions_of(asked.home.shelf, use_case, state)
    return tuple(
        replace(each, refuses=_refused(asked, use_case, each.releases))
        if each.asked == "rollback"
        else each
        for each in actions
    )


def _refused(asked: Asking, use_case: str, former: tuple[int, ...]) -> tuple[str, ...]:
    """A sentence for every former champion that would refuse callers who are answered now."""
    home, channels = asked.home, asked.home.channels()
    found = []
    for release in former:
        try:
            refusal = refusal_of(home.shelf, channels, use_case, release)
        except PlatformError:  # its bundle cannot be read: the controller says so
            continue
        if refusal:
            seen = seen_by(home.layout, use_case, refusal.releases, now_ms=asked.now_ms)
            told = f": {seen.sentence()}" if refusal.releases else ""
            found.append(f"Release {release} refuses {refusal.sentence()}{told}.")
    return tuple(found)


def actions_of(shelf: Shelf, use_case: str, state: ChannelState) -> tuple[Action, ...]:
    """What may be asked now; whether it is done, the controller says."""
    found: list[Action] = []
    if state.rollout is not None:
        if state.rollout.is_held:
            said = "Let it move through its stages again."
            found.append(Action("resume", "resume", "Resume", said))
        else:
            said = "Keep it in its stage; a broken gate rolls back all the same."
            found.append(Action("hold", "hold", "Hold", said))
        said = f"Serve release {state.challenger} to everybody now, whatever stage it is in."
        found.append(Action("promote", "promote", "Promote", said))
        said = "Take the challenger out: the champion answers everybody within seconds."
        found.append(Action("withdraw", "withdraw", "Roll back", said, is_grave=True))
    else:
        found += _starts(shelf, use_case, state)
    if state.shadow is not None:
        said = f"Score release {state.shadow} beside the champion no more."
        found.append(Action("no-shadow", "shadow", "End the shadow", said))
    if state.former_champions:
        said = "Serve a release again that was champion before, and end a rollout under way."
        former = tuple(dict.fromkeys(n for n in state.former_champions if n != state.champion))
        found.append(Action("return", "rollback", "Go back", said, former, is_grave=True))
    return tuple(found)


def _starts(shelf: Shelf, use_case: str, state: ChannelState) -> list[Action]:
    """A new release for a few, or for nobody but the record; those newer than the champion."""
    newer = tuple(
        n
        for n in reversed(shelf.releases(use_case))
        if n > (state.champion or 0) and not _is_archived(shelf, use_case, n)
    )
    if not newer:
        return []
    first = "Give an approved release its first share, then more, as its declared stages say."
    once = "Give it all entities at once; the gates take it back when it does harm."
    silent = "Score a release beside the champion; nobody is answered by it."
    serve = "Serve an approved release to everybody at once, without stages."
    found = [Action("promote", "promote", "Serve to all", serve, newer)]
    if state.champion is not None:
        found.insert(0, Action("start", "start", "Start a rollout", first, newer))
        found.insert(
            1, Action("start-at-once", "start", "Roll out at once", once, newer, is_at_once=True)
        )
        found.append(Action("shadow", "shadow", "Shadow", silent, newer))
    return found


def _is_archived(shelf: Shelf, use_case: str, release: int) -> bool:
    try:
        return archived(shelf, use_case, release) is not None
    except PlatformError:  # a paper that cannot be read: the controller refuses it, too
        return True


PAGES = (
    Page("/rollouts", rollouts, "rollouts"),
    Page("/rollouts/{use_case}", rollout, "rollouts"),
    Page("/rollouts/{use_case}/{action}", act, "operate", "POST"),
)
