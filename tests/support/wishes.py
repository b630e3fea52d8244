"""The toy release, asking its cards: a source of words, a view of the last one, a consent."""

from __future__ import annotations

from typing import Any

from bundles import CONTRACT, TOY_PLAN
from engines import Bench
from ladders import DEGRADATION, laddered
from payments import NOW_MS

from core.consent import Answered, Consent
from core.contracts import FieldSpec, Source
from core.degradation import Degradation
from core.features.blob import delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key
from core.features.plan import AttributeFeature, ViewPlan
from training.export import also_without

WISHES = Source(
    name="wishes",
    description="Who wants not to be learnt from.",
    owner="tests",
    fields=(FieldSpec(name="is_out", type="bool"), FieldSpec(name="card_id", type="string")),
)
WISH = ViewPlan(
    name="wish_v1",
    entity="card",
    join_keys=("card_id",),
    source="wishes",
    columns={"is_out": "bool"},
    attributes=(AttributeFeature(name="is_out", column="is_out"),),
)
PLAN = TOY_PLAN.model_copy(update={"views": (*TOY_PLAN.views, WISH)})
CONSENT = Consent(source="wishes", column="is_out", keys=("card_id",), requests="without_features")


def asking(
    by: Answered = "without_features", degradation: Degradation = DEGRADATION
) -> dict[str, Any]:
    """Arguments of `bundles.shelve` for a release that asks."""
    given = laddered(
        plan=PLAN,
        consent=CONSENT.model_copy(update={"requests": by}),
        contract=CONTRACT.model_copy(update={"sources": (*CONTRACT.sources, WISHES)}),
        degradation=degradation,
    )
    return given | {"fallbacks": also_without(given["fallbacks"], WISH.name)}


def says(bench: Bench, card: str, *words: bool) -> None:
    """Words of a card, oldest first, as the folder brings them."""
    events = [
        FoldEvent(1, n, f"w{n}", NOW_MS - 1_000 + n, NOW_MS - 1_000 + n, {"is_out": word})
        for n, word in enumerate(words)
    ]
    delta = fold(WISH, None, events, now_ms=NOW_MS, base_epoch=-1)
    bench.store.write({delta_key("wish_v1", entity_key([card])): delta})
