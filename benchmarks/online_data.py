"""What the online benchmark asks for: payments of 30 days as online values, and request bodies.

The last day's payments are in the delta values and the rest in the base values, so that a read
merges both, as it does in a day of service. The twin gets the same features ready-made, one hash
an entity, as of one instant; at that instant both must give the same scores.

``python -m benchmarks.online_data FOLDER REDIS_URL CARDS`` prepares everything.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis import Redis

from benchmarks.measure import Pass, reported
from benchmarks.online_model import model_of, put_on_shelf
from core.clock import DAY_MS, SystemClock
from core.features import hll
from core.features.arrays import Column, Rows
from core.features.base_values import base_values, raw_from_ms
from core.features.blob import base_key, delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key, position
from core.features.plan import Plan, ViewPlan
from core.features.reading import read_view
from core.features.tiles import build_tiles
from core.use_case import UseCase
from stores.layout import Layout
from stores.online import open_online_store
from stores.online.watermarks import (
    Watermark,
    covered_key,
    encode_covered,
    encode_watermark,
    watermark_key,
)

USE_CASE = "fraud"
DAYS, PAYMENTS_A_CARD, CARDS_A_TERMINAL = 30, 60, 2
VERDICT_SHARE, VERDICT_DELAY_MS, FRAUD_SHARE = 0.3, 3 * DAY_MS, 0.02
BODIES, BATCHES, CANDIDATES = 4_000, 400, 100
IN_BASE, IN_DELTA = 0, 1

Ints = NDArray[np.int64]
Json = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """Rows of one source: numbers by column, keys as numbers of the card or the terminal."""

    event_ms: Ints
    keys: dict[str, Ints]
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class World:
    """Cards, terminals, and what happened to them up to ``at_ms``."""

    cards: int
    at_ms: int
    logs: dict[str, Log]

    @property
    def terminals(self) -> int:
        """How many there are."""
        return max(1, self.cards // CARDS_A_TERMINAL)

    @property
    def head_ms(self) -> int:
        """First instant that base can answer; later rows are in delta."""
        return self.at_ms - DAY_MS


def drawn_world(cards: int, at_ms: int, *, countries: Sequence[str], seed: int = 7) -> World:
    """Payments evenly over cards, terminals and time; verdicts on some; a profile a card."""
    draw = np.random.default_rng(seed)
    n, terminals = cards * PAYMENTS_A_CARD, max(1, cards // CARDS_A_TERMINAL)
    paid_ms = np.sort(at_ms - 1 - draw.integers(0, DAYS * DAY_MS, n))
    at_terminal = draw.integers(0, terminals, n)
    amounts = np.minimum(np.exp(draw.normal(8, 1.2, n)).astype(np.int64) + 1, 5_000_000)
    payments = Log(
        paid_ms,
        {"card_id": draw.integers(0, cards, n), "terminal_id": at_terminal},
        {"amount_minor": amounts.tolist(), "terminal_id": _names("t", at_terminal)},
    )
    is_judged = (draw.random(n) < VERDICT_SHARE) & (paid_ms + VERDICT_DELAY_MS < at_ms)
    is_fraud = draw.random(n) < FRAUD_SHARE
    verdicts = Log(
        paid_ms[is_judged] + VERDICT_DELAY_MS,
        {"terminal_id": at_terminal[is_judged]},
        {"is_fraud": is_fraud[is_judged].astype(np.int64).tolist()},
    )
    profiles = Log(
        np.full(cards, at_ms - 100 * DAY_MS),
        {"card_id": np.arange(cards)},
        {
            "limit_minor": draw.integers(50_000, 5_000_000, cards).tolist(),
            "country": draw.choice(list(countries), cards).tolist(),
            "since_day": draw.integers(15_000, 20_000, cards).tolist(),
        },
    )
    logs = {"transactions": payments, "fraud_labels": verdicts, "card_profiles": profiles}
    return World(cards, at_ms, logs)


def _names(prefix: str, numbers: Ints) -> list[str]:
    return [f"{prefix}{number}" for number in numbers.tolist()]


def values_of(view: ViewPlan, world: World) -> dict[bytes, bytes]:
    """Base and delta of every entity of a view, by online key."""
    (key,) = view.join_keys
    log = world.logs[view.source]
    codes, prefix = log.keys[key], key[0]
    count = int(codes.max()) + 1
    keys = [entity_key([f"{prefix}{code}"]) for code in range(count)]
    is_old = log.event_ms < world.head_ms
    values = based(view, log, is_old, keys, epoch=IN_BASE, head_ms=world.head_ms)
    for code, events in _events(log, codes, np.flatnonzero(~is_old)).items():
        folded = fold(view, None, events, now_ms=world.at_ms, base_epoch=IN_BASE)
        values[delta_key(view.name, keys[code])] = folded
    return values


def based(
    view: ViewPlan, log: Log, is_in: NDArray[np.bool_], keys: Sequence[bytes], *, epoch: int,
    head_ms: int,
) -> dict[bytes, bytes]:  # fmt: skip
    """Base value of every entity that has one of the rows in ``is_in``, as batch makes it."""
    (key,) = view.join_keys
    codes = log.keys[key]
    rows, ids = _rows(view, log, codes, is_in)
    tiles = build_tiles(view, rows, ids) if view.windows else None
    if view.windows:
        rows, ids = _rows(view, log, codes, is_in & (log.event_ms >= raw_from_ms(view, head_ms)))
    found = base_values(view, tiles, rows, keys, epoch=epoch, head_ms=head_ms, event_ids=ids)
    return {base_key(view.name, entity): value for entity, value in found}


def _rows(view: ViewPlan, log: Log, codes: Ints, kept: NDArray[np.bool_]) -> tuple[Rows, Any]:
    index = np.flatnonzero(kept)
    ids = np.empty(len(index), object)
    ids[:] = [f"e{place}".encode() for place in index.tolist()]
    columns = {
        name: Column(np.array(_numbers(view, name, [log.columns[name][i] for i in index.tolist()])))
        for name in view.columns
    }
    event_ms = log.event_ms[index]
    return Rows(codes[index], event_ms, event_ms, np.arange(len(index)), columns), ids


def _numbers(view: ViewPlan, name: str, values: list[Any]) -> list[int]:
    """A column as the kernel takes it: text is a category in attributes, else a hash."""
    if view.columns[name] != "string":
        return values
    if view.attributes:
        (declared,) = [a.categories for a in view.attributes if a.column == name]
        return [declared.index(value) for value in values]
    hashed = np.array([hll.hash_value(value) for value in values], np.uint64)
    signed: list[int] = hashed.view(np.int64).tolist()
    return signed


def _events(log: Log, codes: Ints, index: Ints) -> dict[int, list[FoldEvent]]:
    events: dict[int, list[FoldEvent]] = {}
    for offset, place in enumerate(index.tolist()):
        at_ms = int(log.event_ms[place])
        values = {name: column[place] for name, column in log.columns.items()}
        event = FoldEvent(IN_DELTA, offset, f"e{place}", at_ms, at_ms, values)
        events.setdefault(int(codes[place]), []).append(event)
    return events


def ready_features(plan: Plan, world: World, values: dict[bytes, bytes]) -> dict[str, Json]:
    """The twin's hashes: all features of an entity as of ``at_ms``; a null has no field."""
    hashes: dict[str, Json] = {}
    for view in plan.views:
        (key,) = view.join_keys
        count = world.cards if key == "card_id" else world.terminals
        for number in range(count):
            name = f"{key[0]}{number}"
            entity = entity_key([name])
            held = values.get(base_key(view.name, entity)), values.get(delta_key(view.name, entity))
            found = read_view(view, *held, world.at_ms, world.head_ms).values
            fields = zip(view.feature_names, found, strict=True)
            known = {f"{view.name}:{f}": repr(float(v)) for f, v in fields if v is not None}
            hashes.setdefault(f"twin/{view.entity}/{name}", {}).update(known)
    return hashes


def write_online(url: str, plan: Plan, world: World) -> dict[bytes, bytes]:
    """Everything that the service and the twin read; the values that were written."""
    values: dict[bytes, bytes] = {}
    for view in plan.views:
        values |= values_of(view, world)
        values[covered_key(view.name)] = encode_covered(position(IN_BASE, 2**32 - 1), world.head_ms)
        mark = Watermark(world.at_ms, position(IN_DELTA, 2**31), world.at_ms)
        values[watermark_key(view.source)] = encode_watermark(mark)
    store = open_online_store(url)
    store.write(values)
    store.close()
    if url.startswith("sqlite:"):
        return values  # nothing of the twin's: it reads Redis
    with Redis.from_url(url) as client:
        pipeline = client.pipeline(transaction=False)
        for name, fields in ready_features(plan, world, values).items():
            pipeline.hset(name, mapping=fields)
        pipeline.execute()
    return values


def write_bodies(folder: Path, world: World, width: int) -> None:
    """One file of requests for each kind of server, one body a line."""
    draw = np.random.default_rng(11)

    def point() -> Json:
        keys = {"card_id": f"c{draw.integers(world.cards)}", "terminal_id": _terminal()}
        return {"entities": keys, "inputs": {"amount_minor": int(draw.integers(100, 200_000))}}

    def _terminal() -> str:
        return f"t{draw.integers(world.terminals)}"

    def batch() -> Json:
        card = f"c{draw.integers(world.cards)}"
        points = [point() for _ in range(CANDIDATES)]
        return {"points": [p | {"entities": {**p["entities"], "card_id": card}} for p in points]}

    def vector() -> list[float]:
        return [round(float(x), 3) for x in np.exp(draw.normal(4, 2.5, width))]

    def inference() -> Json:
        tensor = {"name": "vector", "datatype": "FP32", "shape": [1, width], "data": vector()}
        return {"inputs": [tensor]}

    _write(folder / "points.ndjson", point, BODIES)
    _write(folder / "batches.ndjson", batch, BATCHES)
    _write(folder / "vectors.ndjson", lambda: {"vector": vector()}, BODIES)
    _write(folder / "inference.ndjson", inference, BODIES)
    _write(folder / "mlflow.ndjson", lambda: {"inputs": [vector()]}, BODIES)


def _write(path: Path, body: Callable[[], Json], count: int) -> None:
    lines = (json.dumps(body(), separators=(",", ":")) + "\n" for _ in range(count))
    path.write_text("".join(lines))


def write_mlflow(folder: Path, model: bytes, width: int) -> None:
    """The same model as MLflow's ONNX flavour, one thread a worker."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shutil.rmtree(folder / "mlflow", ignore_errors=True)
    mlflow.onnx.save_model(
        onnx.load_model_from_string(model),
        str(folder / "mlflow"),
        signature=ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, width))])),
        pip_requirements=["onnxruntime"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    )


def fraud() -> tuple[UseCase, Plan]:
    """The declared use case and its plan."""
    from feature_store.catalogue import catalogue_of_module
    from feature_store.compile import compile_service
    from use_cases.fraud.use_case import USE_CASE

    catalogue = catalogue_of_module("use_cases.fraud.features")
    return USE_CASE, compile_service(catalogue.service(USE_CASE.service), catalogue)


def prepare(folder: Path, url: str, cards: int) -> Json:
    """Home with a release, online values, bodies, the peers' files; what there is, in words."""
    from use_cases.fraud.sources import COUNTRIES

    use_case, plan = fraud()
    model = model_of(folder, plan)
    layout = Layout(folder / "home")
    shutil.rmtree(layout.root, ignore_errors=True)
    now_ms = SystemClock().now_ms()
    put_on_shelf(layout.create(), use_case, plan, model, now_ms)
    world = drawn_world(cards, now_ms, countries=COUNTRIES)
    values = write_online(url, plan, world)
    width = len(plan.vector)
    write_bodies(folder, world, width)
    (folder / "model.onnx").write_bytes(model)
    (folder / "twin.json").write_text(json.dumps(plan.vector))
    (folder / "at.txt").write_text(datetime.fromtimestamp(now_ms / 1_000, UTC).isoformat())
    write_mlflow(folder, model, width)
    size = sum(map(len, values.values())) // (world.cards + world.terminals)
    return {"profile": f"{world.cards:,} cards, {width} inputs, {size:,} bytes an entity"}


def main() -> None:
    folder, url, cards = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with Pass() as timed:
        prepared = prepare(folder, url, cards)
    print(json.dumps(prepared | reported([timed])))


if __name__ == "__main__":
    main()
