"""Releases in memory: verified, warmed up, proved on their golden points; then one reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.consent import asked, asked_online
from core.decisions import Decider
from core.degradation import check_degradation
from core.errors import ConfigurationError
from core.features.plan import Plan
from core.features.transforms import load_transform
from core.ports import ModelRunner
from serving.engine.consenting import Consenting
from serving.engine.contract import RequestContract
from serving.engine.features import FeatureReading
from serving.engine.ladder import Ladder, LoadedFallback
from serving.errors import NotFoundError
from serving.models.batching import PLAIN, Batching, BatchingScorer
from serving.models.limiting import Limits
from serving.ports import DirectScorer, Scorer
from serving.telemetry.memory import resident_bytes
from stores.keys.signing import KeyRing
from stores.merging import compiled_merge
from stores.shelf.bundle import Bundle, Manifest
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.golden import Golden
from stores.shelf.shelf import Shelf

RunnerFactory = Callable[[bytes, int], ModelRunner]
WARM_UP_ROWS = (1, 1_000)
ROWS_TIMED = 3
SLOW_MS = 2.0
"""From so long a row on a model leaves the loop. A hop to a thread and back costs a tenth of it
under load."""


class CountedRunner:
    """A model that counts how often it is asked: who is not may be the first to go."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.calls = 0

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, for vectors of shape ``(n, d)``."""
        self.calls += 1
        return self._runner.score(vectors)


@dataclass(frozen=True)
class LoadedRelease:
    """One release, ready to answer."""

    manifest: Manifest
    manifest_digest: str
    plan_digest: str
    contract: RequestContract
    decider: Decider
    runner: ModelRunner
    scorer: Scorer
    ladder: Ladder | None = None
    consenting: Consenting | None = None
    grown_bytes: int = 0
    """What this process grew by while the models were loaded; others may have grown it too."""

    @property
    def plan(self) -> Plan:
        """What it reads and computes."""
        return self.manifest.plan

    @cached_property
    def major(self) -> int:
        """Which contract its callers speak."""
        return self.manifest.contract.major

    @property
    def calls(self) -> int:
        """How often its model was asked."""
        return self.runner.calls if isinstance(self.runner, CountedRunner) else 0

    @cached_property
    def features(self) -> FeatureReading:
        """What reads its features."""
        return FeatureReading(self.plan, compiled_merge())

    @property
    def key(self) -> tuple[str, int]:
        """Use case and number."""
        return self.manifest.use_case, self.manifest.release


@dataclass(frozen=True)
class Served:
    """What one use case serves now, all of it warm.

    ``challenger`` and ``shadow`` are None where there is none, and where it could not be loaded.
    ``older`` are those that answer callers of contracts before the champion's, by major.
    """

    state: ChannelState
    champion: LoadedRelease
    challenger: LoadedRelease | None = None
    shadow: LoadedRelease | None = None
    older: Mapping[int, LoadedRelease] = field(default_factory=dict)

    @property
    def releases(self) -> dict[str, LoadedRelease]:
        """Releases in memory, by channel."""
        named: dict[str, LoadedRelease | None] = {
            "champion": self.champion,
            "challenger": self.challenger,
            "shadow": self.shadow,
            **{kept.channel: self.older.get(kept.major) for kept in self.state.older},
        }
        return {channel: loaded for channel, loaded in named.items() if loaded is not None}

    def without(self, keys: Collection[tuple[str, int]]) -> Served:
        """The same without some challenger or shadow: as if the channel were empty.

        So the champion answers for it, and nobody counts that as an error of the challenger.
        """
        state, challenger, shadow = self.state, self.challenger, self.shadow
        name = self.champion.manifest.use_case
        if state.challenger is not None and (name, state.challenger) in keys:
            change = {"challenger": None, "challenger_weight": 0.0, "rollout": None}
            state, challenger = state.model_copy(update=change), None
        if state.shadow is not None and (name, state.shadow) in keys:
            state = state.model_copy(update={"shadow": None, "shadow_experiment": ""})
            shadow = None
        return Served(state, self.champion, challenger, shadow, self.older)


@dataclass(frozen=True)
class Roster:
    """Everything served at one instant; replaced whole, never changed."""

    channels: Channels = field(default_factory=Channels)
    use_cases: Mapping[str, Served] = field(default_factory=dict)


class Releases:
    """Holds the roster. Requests take it once and keep it until they are answered."""

    def __init__(self) -> None:
        self.roster = Roster()

    def served(self, use_case: str) -> Served:
        """What ``use_case`` serves; NotFoundError when it serves nothing."""
        served = self.roster.use_cases.get(use_case)
        if served is None:
            raise NotFoundError(
                "no such use case is served",
                found=f"served: {', '.join(sorted(self.roster.use_cases)) or 'none'}",
                remedy="use one of these, or promote a release of yours",
                code="unknown_use_case",
            )
        return served

    def experiments(self) -> set[str]:
        """Names of the rollouts and shadows that are under way, in memory here or not."""
        states = self.roster.channels.use_cases.values()
        return {name for state in states for name in state.experiments}

    def loaded(self, use_case: str, release: int) -> LoadedRelease | None:
        """Release in memory, or None."""
        served = self.roster.use_cases.get(use_case)
        warm = served.releases.values() if served is not None else ()
        return next((each for each in warm if each.manifest.release == release), None)


class Loader:
    """Brings releases from the shelf into memory. The same steps for swap and for replay.

    ``keys`` is asked each time: a key may be added, or the first be made, while we run.
    """

    def __init__(
        self,
        shelf: Shelf,
        keys: Callable[[], KeyRing],
        runner: RunnerFactory,
        *,
        is_any_time: bool,
        batching: Batching = PLAIN,
        limits: Limits | None = None,
    ) -> None:
        self._shelf = shelf
        self._keys = keys
        self._runner = runner
        self._is_any_time = is_any_time
        self._batching = batching
        self._limits = limits

    def load(self, use_case: str, release: int) -> LoadedRelease:
        """Release that is signed, whole, of the code it was compiled from, and answers right.

        Raises
        ------
        NotReadyError
            If it is not on the shelf.
        IntegrityError
            If any of that does not hold.
        ConfigurationError
            If its rules read, or its ladder names, what its plan does not yield.
        """
        bundle = self._shelf.verified(use_case, release, self._keys())
        return release_of(
            bundle,
            self._runner,
            is_any_time=self._is_any_time,
            batching=self._batching,
            limits=self._limits,
        )

    def bundle(self, use_case: str, release: int) -> tuple[Path, str]:
        """Folder of a signed release, and the digest of its manifest; raises as ``load`` does."""
        statement = self._shelf.verify(use_case, release, self._keys())
        return self._shelf.bundle(use_case, release), statement.manifest_digest


def release_of(
    bundle: Bundle,
    runner_of: RunnerFactory,
    *,
    is_any_time: bool,
    batching: Batching = PLAIN,
    limits: Limits | None = None,
) -> LoadedRelease:
    """Release of a bundle that was verified; raises as `Loader.load` does.

    Without ``limits`` nobody keeps the time of its models.
    """
    manifest, width = bundle.manifest, len(bundle.manifest.plan.vector)
    for transform in manifest.plan.transforms:
        load_transform(transform)
    before = resident_bytes()
    runner = CountedRunner(runner_of(bundle.model, width))
    decider = Decider.of(manifest.decisions, manifest.plan)
    prove(bundle, runner, decider)
    name = f"the model of {manifest.use_case} {manifest.release}"
    ladder = ladder_of(bundle, runner_of, batching, limits)
    release = LoadedRelease(
        manifest=manifest,
        manifest_digest=manifest.digest,
        plan_digest=manifest.plan.digest,
        contract=RequestContract(manifest.contract, is_any_time=is_any_time),
        decider=decider,
        runner=runner,
        scorer=scorer_of(runner, width, batching, limits, name=name),
        ladder=ladder,
        consenting=consenting_of(manifest),
        grown_bytes=max(0, resident_bytes() - before),
    )
    release.features  # noqa: B018 - made now, not while the first request waits
    return release


def consenting_of(manifest: Manifest) -> Consenting | None:
    """What withholds views of those who opted out; None where requests are answered all alike.

    Raises
    ------
    ConfigurationError
        If the plan has no view that tells who did, or there is no ladder to go down.
    """
    consent = asked_online(manifest.consent)
    if consent is None:
        return None
    if manifest.degradation is None:
        raise ConfigurationError(
            "a release is to answer otherwise about who opted out, and cannot",
            found="no ladder in its bundle",
            remedy="declare a degradation, and build it again",
        )
    return Consenting(asked(consent, manifest.plan))


def ladder_of(
    bundle: Bundle,
    runner_of: RunnerFactory,
    batching: Batching = PLAIN,
    limits: Limits | None = None,
) -> Ladder | None:
    """Ladder that a bundle declares, its models proved; None where it declares none."""
    degradation, plan = bundle.manifest.degradation, bundle.manifest.plan
    if degradation is None:
        return None
    check_degradation(degradation, plan)
    fallbacks = []
    name = f"a fallback of {bundle.manifest.use_case} {bundle.manifest.release}"
    for each in bundle.manifest.fallbacks:
        runner = runner_of(bundle.files[each.model], len(each.reads))
        golden = Golden.model_validate_json(bundle.files[each.golden])
        golden.check(runner.score(golden.inputs()))
        columns = np.array([plan.vector.index(name) for name in each.reads], dtype=np.intp)
        scorer = scorer_of(runner, len(each.reads), batching, limits, name=name)
        fallbacks.append(LoadedFallback(frozenset(each.without), columns, runner, scorer))
    return Ladder(degradation, plan, fallbacks)


def scorer_of(
    runner: ModelRunner,
    width: int,
    batching: Batching = PLAIN,
    limits: Limits | None = None,
    *,
    name: str = "a model",
) -> Scorer:
    """Scores on the loop; in a thread, in batches, within limits, if others would wait for it."""
    row = np.zeros((1, width), dtype=np.float32)
    spent_ms = []
    for _ in range(ROWS_TIMED):
        start_s = time.perf_counter()
        runner.score(row)
        spent_ms.append((time.perf_counter() - start_s) * 1_000)
    if batching.is_always or min(spent_ms) > SLOW_MS:
        batched = BatchingScorer(runner, batching)
        return batched if limits is None else limits.of(name, batched)
    return DirectScorer(runner)


def prove(bundle: Bundle, runner: ModelRunner, decider: Decider) -> float:
    """Warm the model up, then ask its golden points and cases; the largest difference found.

    Raises
    ------
    IntegrityError
        If model or rules do not answer them.
    """
    width = len(bundle.manifest.plan.vector)
    for n_rows in WARM_UP_ROWS:
        runner.score(np.zeros((n_rows, width), dtype=np.float32))
    golden = bundle.golden
    if golden.rule_cases is not None:
        golden.rule_cases.check(decider)
    inputs: NDArray[np.float32] = golden.inputs()
    return golden.check(runner.score(inputs))
