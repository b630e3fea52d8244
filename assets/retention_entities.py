"""What a period alone does not tell: words that still hold, and values that outlived their rows."""

from collections.abc import Iterable, Sequence

from assets.resources import Platform
from assets.retention_cold import Kept
from assets.tables import is_table, read_columns
from core.consent import ORDER, last_words
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from core.retention import Piece, target_plan
from core.use_case import UseCase
from stores.holds import Holds

WORD = "holds the last word of somebody who opted out"
ENDED = "values of entities without a row"


def dates_of_words(platform: Platform, use_cases: Iterable[UseCase], source: str) -> set[str]:
    """Event dates of a source that hold the last word of a subject who opted out.

    Were they swept, the subject would be learnt from again without having said so.
    """
    asked = [u.consent for u in use_cases if u.consent is not None and u.consent.source == source]
    uri = platform.layout.events(source)
    dates: set[str] = set()
    for consent in asked if is_table(uri) else ():
        columns = (*consent.keys, consent.column, *ORDER, "event_date")
        words = last_words(consent, read_columns(uri, columns).to_pylist())
        dates |= {str(row["event_date"]) for row in words.values() if row[consent.column]}
    return dates


def ended(
    platform: Platform, view: ViewPlan, rows: Kept, tiles: Kept | None, *, now_ms: int
) -> Kept:
    """Online values of a view whose entities no table knows, once what is due of it is gone.

    They go at once. ``rows`` and ``tiles`` are the targets of the view's tables.
    """

    def found(store: OnlineStore) -> list[bytes]:
        from feature_store.ended import ended_values

        return ended_values(
            view,
            layout=platform.layout,
            store=store,
            rows_due=_due(platform, rows, now_ms),
            tiles_due=_due(platform, tiles, now_ms) if tiles is not None else (),
        )

    def pieces() -> list[Piece]:
        with platform.online_store() as store:
            n_keys = len(found(store))
        return [Piece(ENDED, now_ms, rows=n_keys)] if n_keys else []

    def remove(due: Sequence[str]) -> None:
        if due:
            with platform.online_store() as store:
                store.delete(found(store))

    return Kept(f"online/{view.name}", 0, pieces, remove)


def _due(platform: Platform, kept: Kept, now_ms: int) -> tuple[str, ...]:
    holds = Holds(platform.layout).all()
    return target_plan(kept.target, kept.days, kept.pieces(), holds, now_ms=now_ms).due
