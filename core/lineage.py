"""Lineage: what a thing was made of, and what is made of it, down to columns of sources.

A graph of named things with an arrow from each to what is made of it. What is declared
(columns, features, rules, use cases) and what was made (epochs, tables at a version,
snapshots, runs, releases, predictions) are things of one graph, so that a column leads to the
releases that would break, and a prediction back to the files its model learnt from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from core.decisions import DecisionPolicy
from core.features.plan import Plan, TransformPlan, ViewPlan
from core.rules.condition import SCORE, names_of
from core.use_case import UseCase

Kind = Literal[
    "file",
    "epoch",
    "source",
    "column",
    "table",
    "view",
    "feature",
    "request",
    "label",
    "rule",
    "use_case",
    "snapshot",
    "run",
    "release",
    "channel",
    "prediction",
]
REQUEST = "request:"
KEPT_OUT = ("at_ms", SCORE)


class Thing(NamedTuple):
    """One thing of the graph, as it is written on a command line: ``column transactions.amount``.

    A feature is named as in a vector (``view:feature``), a column ``source.column``, a release
    ``use_case/number``, an epoch ``source/number``, a table ``layer/name@version``.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Found(NamedTuple):
    """A thing that was reached, in how many steps, from which one."""

    thing: Thing
    steps: int
    through: Thing


class Lineage:
    """A graph of things; arrows may be put down twice.

    Examples
    --------
    >>> lineage = Lineage()
    >>> amount, mean = Thing("column", "payments.amount"), Thing("feature", "card_v1:mean")
    >>> lineage.add(amount, mean)
    >>> lineage.add(mean, Thing("release", "fraud/3"))
    >>> [str(found.thing) for found in lineage.leads_to(amount)]
    ['feature card_v1:mean', 'release fraud/3']
    >>> [str(found.thing) for found in lineage.comes_from(Thing("release", "fraud/3"))]
    ['feature card_v1:mean', 'column payments.amount']
    """

    def __init__(self) -> None:
        self._after: dict[Thing, dict[Thing, None]] = {}
        self._before: dict[Thing, dict[Thing, None]] = {}

    def __contains__(self, thing: object) -> bool:
        return thing in self._after

    def add(self, made_of: Thing, made: Thing) -> None:
        """Put down that one thing is made of another."""
        for one in (made_of, made):
            self._after.setdefault(one, {})
            self._before.setdefault(one, {})
        self._after[made_of][made] = None
        self._before[made][made_of] = None

    def leads_to(self, thing: Thing) -> list[Found]:
        """All that is made of a thing, nearest first: what would break if it changed."""
        return list(_reached(self._after, thing))

    def comes_from(self, thing: Thing) -> list[Found]:
        """All that a thing is made of, nearest first."""
        return list(_reached(self._before, thing))

    @property
    def arrows(self) -> list[tuple[Thing, Thing]]:
        """Every arrow, in the order in which they were put down."""
        return [(one, other) for one, after in self._after.items() for other in after]

    def named(self, part: str) -> list[Thing]:
        """Things in whose name ``part`` stands."""
        return [thing for thing in self._after if part in thing.name]


def _reached(arrows: Mapping[Thing, Mapping[Thing, None]], start: Thing) -> Iterator[Found]:
    seen, waiting = {start}, deque([(start, 1)])
    while waiting:
        through, steps = waiting.popleft()
        for thing in arrows.get(through, ()):
            if thing not in seen:
                seen.add(thing)
                waiting.append((thing, steps + 1))
                yield Found(thing, steps, through)


def declare(lineage: Lineage, use_case: UseCase, plan: Plan) -> None:
    """Put down what a declaration says: columns, features, label, rules, the use case."""
    itself = Thing("use_case", use_case.name)
    for source in use_case.sources:
        for field in source.fields:
            lineage.add(
                Thing("source", source.name), Thing("column", f"{source.name}.{field.name}")
            )
        for reference in source.references:
            for target, name in zip(reference.target_columns, reference.columns, strict=True):
                lineage.add(
                    Thing("column", f"{reference.source}.{target}"),
                    Thing("column", f"{source.name}.{name}"),
                )
    plan_things(lineage, plan)
    for name in plan.vector:
        lineage.add(_feature(name), itself)
    label = Thing("label", use_case.name)
    for column in (use_case.label.column, use_case.label.refers_to):
        lineage.add(Thing("column", f"{use_case.label.source}.{column}"), label)
    lineage.add(Thing("source", use_case.label.example_source), label)
    lineage.add(label, itself)
    if use_case.consent is not None:
        lineage.add(Thing("column", f"{use_case.consent.source}.{use_case.consent.column}"), itself)
    rules(lineage, use_case.decisions, use_case.name, itself)


def plan_things(lineage: Lineage, plan: Plan) -> None:
    """Put down how every feature of a plan is made of columns and fields of a request."""
    for view in plan.views:
        _view(lineage, view)
    for transform in plan.transforms:
        _transform(lineage, transform)


def rules(lineage: Lineage, policy: DecisionPolicy, owner: str, made: Thing) -> None:
    """Put down what the rules of a policy read; ``owner`` names them, they make ``made``."""
    for place, rule in enumerate(policy.rules, start=1):
        itself = Thing("rule", f"{owner}:{place} {rule.decision}")
        for name in names_of(rule.condition):
            if name not in KEPT_OUT:
                lineage.add(_feature(name), itself)
        lineage.add(itself, made)


class Made(NamedTuple):
    """What a manifest says of how a release came to be."""

    use_case: str
    release: int
    plan: Plan
    decisions: DecisionPolicy
    snapshot: str
    run: str
    read_versions: Mapping[str, int]

    @property
    def thing(self) -> Thing:
        """The release."""
        return Thing("release", f"{self.use_case}/{self.release}")


def release_things(lineage: Lineage, made: Made, channels: Iterable[str] = ()) -> None:
    """Put down a release: its plan, rules, run, snapshot, tables, and where it serves."""
    plan_things(lineage, made.plan)
    for name in made.plan.vector:
        lineage.add(_feature(name), made.thing)
    rules(lineage, made.decisions, made.thing.name, made.thing)
    snapshot, run = Thing("snapshot", made.snapshot), Thing("run", made.run)
    for source, version in made.read_versions.items():
        lineage.add(events_table(source, version), snapshot)
    lineage.add(snapshot, run)
    lineage.add(run, made.thing)
    for channel in channels:
        lineage.add(made.thing, Thing("channel", f"{made.use_case} {channel}"))


def epoch_things(lineage: Lineage, source: str, epochs: Mapping[int, Sequence[str]]) -> None:
    """Put down the epochs of a log, each with the files that it holds."""
    for number, files in epochs.items():
        epoch = Thing("epoch", f"{source}/{number}")
        for file in files:
            lineage.add(Thing("file", file), epoch)


def events_table(source: str, version: int) -> Thing:
    """The table of a source's accepted rows, as of a version."""
    return Thing("table", f"events/{source}@{version}")


def table_things(lineage: Lineage, source: str, version: int, epochs: Iterable[int]) -> None:
    """Put down that a version of a source's table holds these epochs."""
    for number in epochs:
        lineage.add(Thing("epoch", f"{source}/{number}"), events_table(source, version))


def prediction_things(lineage: Lineage, record_id: str, use_case: str, release: int) -> None:
    """Put down which release made a prediction."""
    lineage.add(Thing("release", f"{use_case}/{release}"), Thing("prediction", record_id))


def _view(lineage: Lineage, view: ViewPlan) -> None:
    itself = Thing("view", view.name)
    for key in view.join_keys:
        lineage.add(Thing("column", f"{view.source}.{key}"), itself)
    columns = {feature.name: feature.column for feature in view.windows}
    columns |= {feature.name: feature.column for feature in view.attributes}
    for name, column in columns.items():
        made = Thing("feature", f"{view.name}:{name}")
        lineage.add(Thing("column", f"{view.source}.{column}"), made)
        lineage.add(itself, made)


def _transform(lineage: Lineage, transform: TransformPlan) -> None:
    for output in transform.outputs:
        made = Thing("feature", f"{transform.name}:{output}")
        for name in transform.inputs:
            if name not in KEPT_OUT:
                lineage.add(_feature(name), made)


def _feature(name: str) -> Thing:
    if name.startswith(REQUEST):
        return Thing("request", name.removeprefix(REQUEST))
    return Thing("feature", name)
