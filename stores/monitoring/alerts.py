"""Alerts in one folder: those that are open, those that were, and what was told of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from core.audit.records import Entry
from core.clock import DAY_MS
from core.errors import IntegrityError, NotReadyError
from core.monitoring.alerts import SEVERITIES, SHOWN, Alert, use_cases_of
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock, write_durably

KEPT_MS = 90 * DAY_MS
"""How long one is kept that is over."""


class Alerts:
    """One file an alert; the folder is made when the first is put down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self) -> list[Alert]:
        """Every alert that is kept, the oldest first.

        Raises
        ------
        IntegrityError
            If a file is not an alert.
        """
        found = [_read(path) for path in self._directory.glob("*.json")]
        return sorted(found, key=lambda alert: (alert.first_ms, alert.cause))

    def open(self) -> list[Alert]:
        """Those that are not over: those that wait for somebody first, the worst of them first."""
        return sorted((alert for alert in self.all() if alert.is_open), key=in_order)

    def opened(self, key: str) -> Alert:
        """The open alert of an id or a cause.

        Raises
        ------
        NotReadyError
            If none that is open has this id or cause.
        """
        alerts = self.open()
        for alert in alerts:
            if key in (alert.alert_id, alert.cause):
                return alert
        causes = ", ".join(alert.cause for alert in alerts[:SHOWN]) or "none"
        raise NotReadyError(
            "no alert with this cause or id is open",
            found=f"{key[:80]!r}; open: {causes}",
            remedy="`throughline alerts` lists those that are open, each with its cause and id",
            code="no_such_alert",
        )

    def acknowledge(
        self, key: str, *, who: str, because: str, now_ms: int, use_cases: Collection[str] = ()
    ) -> Alert:
        """Put down somebody's word that an open alert is seen to; audited first.

        ``key`` is its id or its cause; ``use_cases`` are those whose own it may be, for whoever
        looks for them in the audit log. It is not told again until it gets worse or is over.

        Raises
        ------
        NotReadyError
            If none that is open has this id or cause.
        """
        with self.changing():
            alert = self.opened(key).acknowledge(who=who, because=because, at_ms=now_ms)
            entry = _entry(alert, sorted(use_cases_of(alert, use_cases)))
            AuditLog.beside(self._directory, is_signing=False).append([entry])
            self.put([alert], now_ms=now_ms)
        return alert

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the folder: who reads, decides and puts down in here meets no other who does."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(self._directory / ".lock"):
            yield

    def put(self, alerts: Iterable[Alert], *, now_ms: int) -> None:
        """Put down what changed; those that were over long ago go. Call it while `changing`."""
        held = {alert.alert_id: alert for alert in self.all()}
        for alert in alerts:
            path = self._directory / f"{alert.alert_id}.json"
            if alert.over_ms is not None and now_ms - alert.over_ms > KEPT_MS:
                path.unlink(missing_ok=True)
            elif held.get(alert.alert_id) != alert:
                write_durably(path, alert.model_dump_json(indent=1).encode(), mode=0o600)

    def tell(self, send: Callable[[Alert], None], *, now_ms: int) -> list[Alert]:
        """Send those that are due and put down that they were taken; returns them.

        A receiver that fails leaves the rest for the next time: what ``send`` raises goes on.
        One that was killed between taking and our putting it down is told again, with the same
        id and state.
        """
        told = []
        for alert in self.all():
            if not alert.is_due(now_ms):
                continue
            send(alert)
            taken = alert.model_copy(update={"told_ms": now_ms, "told": alert.state})
            self.put([taken], now_ms=now_ms)
            told.append(taken)
        return told


def _entry(alert: Alert, use_cases: Sequence[str]) -> Entry:
    """What the audit log keeps of a word that holds."""
    given = alert.word
    assert given is not None  # noqa: S101 - for the type checker
    about = {
        "alert": alert.alert_id,
        "cause": alert.cause,
        "severity": alert.severity,
        "use_cases": [{"use_case": name} for name in use_cases],
    }
    return Entry(
        at_ms=given.at_ms,
        what="alert_acknowledged",
        who=given.who,
        why=given.because,
        about=about,
    )


def in_order(alert: Alert) -> tuple[bool, int, int]:
    """What open alerts are sorted by: waiting for somebody, severity, age."""
    return alert.word is not None, -SEVERITIES.index(alert.severity), alert.first_ms


def _read(path: Path) -> Alert:
    try:
        return Alert.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "an alert cannot be read",
            found=f"{type(error).__name__} at {path.name}",
            remedy="remove the file: what is still wrong is found again",
            code="bad_alert",
        ) from error
