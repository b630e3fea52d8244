"""One worker of the service: built from settings, connected, run."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial
from uuid import uuid4

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from core.breaker import Breaker
from core.clock import Clock, SystemClock
from serving.access import Access
from serving.background import Background
from serving.engine.engine import Engine
from serving.engine.inference import Inference
from serving.engine.passes import Budgets, Passes
from serving.engine.splitting import Splitting
from serving.engine.turns import OneATurn
from serving.events.appending import LogAppenders
from serving.events.events import EventIntake
from serving.explainer_client import ExplainerProcess
from serving.followers import Follow, following
from serving.guard import Guard
from serving.models.devices import DeviceError
from serving.models.limiting import Limits
from serving.models.loading import new_loader
from serving.models.releases import Loader, Releases
from serving.models.trials import Trials
from serving.models.warming import Warming
from serving.models.watcher import ShelfWatcher
from serving.online_values import OnlineValues
from serving.process import Told, settings_and_teller
from serving.quotas import SharedQuotas
from serving.records.logs import RecordLogs
from serving.records.passports import KEPT_RELEASES, Passports
from serving.records.recording import Recording
from serving.records.shipping import Shipper
from serving.rollouts.counting import Counting, CountPublisher
from serving.rollouts.shadow_process import ShadowProcess
from serving.rollouts.shadows import Shadows
from serving.rollouts.views import RolloutViews
from serving.settings import Settings, TracingSettings
from serving.telemetry.gpu_metrics import Gpus
from serving.telemetry.health import Health
from serving.telemetry.log_lines import Trouble, ending_in_words
from serving.telemetry.memory import leave_to_stay
from serving.telemetry.metrics import Telemetry
from serving.telemetry.objective_files import ObjectiveFiles
from serving.telemetry.repeats import Repeats
from serving.telemetry.scraping import Scraping
from serving.telemetry.spans import Spans, TracedTelemetry
from serving.telemetry.worker_metrics import WorkerMetrics
from serving.transport.rest import Services, build_app
from stores.home_id import home_id
from stores.keys.access_keys import AccessKeyFile
from stores.keys.signing import KeyRing
from stores.masking import Mask, ensure_mask
from stores.shared_counts import open_shared_counts
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf

TICK_S = 1.0


class Service:
    """Everything of one process, built from settings."""

    def __init__(self, settings: Settings, clock: Clock, told: Told) -> None:
        layout = settings.layout
        shelf = Shelf(layout.shelf)
        keys = partial(KeyRing.from_directory, layout.keys)
        loader = new_loader(settings, shelf, keys, Limits(clock, told))
        self._settings = settings
        self._clock, self._told = clock, told
        self._bundle_of = shelf.bundle
        self._records = RecordLogs(layout, clock, settings.records)
        self._shipper = Shipper(layout, clock, told, keep_ms=settings.records.keep_s * 1_000)
        self._releases = Releases()
        self._counts = open_shared_counts(settings.online, layout.shared_counts)
        self._access = self._new_access(clock, told)
        registry = CollectorRegistry()
        self._spans = _spans(settings.tracing)
        self._telemetry = (
            Telemetry(registry) if self._spans is None else TracedTelemetry(registry, self._spans)
        )
        self._inference = Inference(self._releases, self._telemetry)
        self._online = OnlineValues(settings, clock, told, self._telemetry)
        self._explainer = ExplainerProcess(
            self._bundle_of, start_budget_ms=settings.explainer.start_budget_ms
        )
        self._warming = self._new_warming(loader)
        self._watcher = ShelfWatcher(
            shelf.board,
            keys,
            self._warming,
            self._releases,
            clock=clock,
            counter_path=layout.state / "channels_followed",
            told=told,
        )
        engine = self._new_engine(ensure_mask(layout.keys), clock, told)
        passports = Passports(
            records=self._records,
            releases=self._releases,
            loader=loader,
            explaining=self._explainer,
            explain_budget_ms=settings.explainer.record_budget_ms,
            n_kept=0 if settings.models.budget_bytes else KEPT_RELEASES,
        )
        logs = self._new_logs()
        intake = EventIntake(self._releases, self._online.store, logs, clock, self._online.claims)
        health = Health(home_id(layout), self._releases, self._watcher, self._online.reader, clock)
        self._scraping = self._new_scraping(registry, health, clock)
        services = Services(
            engine=engine,
            passports=passports,
            intake=intake,
            health=health,
            releases=self._releases,
            telemetry=self._telemetry,
            clock=clock,
            http=settings.http,
            access=self._access,
            rollouts=RolloutViews(self._releases, RolloutBoard(layout.shelf)),
            scraping=self._scraping,
            inference=self._inference,
        )
        self.app = build_app(services, self._lifespan)

    def _new_warming(self, loader: Loader) -> Warming:
        models, layout = self._settings.models, self._settings.layout
        patience_s = models.patience_ms / 1_000
        return Warming(
            loader,
            self._releases,
            # A trial that hangs is ended by its own patience, and said to.
            Background(self._clock, patience_s=2 * patience_s),
            Trials(layout.state / "trials", patience_s=patience_s),
            budget_bytes=models.budget_bytes,
            clock=self._clock,
            told=self._told,
        )

    def _new_logs(self) -> LogAppenders:
        """Logs that events go to: of brokers one failure is enough, as it took seconds."""
        settings, clock, guard = self._settings, self._clock, None
        if settings.kafka.bootstrap:
            guard = Guard(
                "sending events to Kafka",
                Breaker(most_failures=1, rest_s=1.0),
                clock,
                budget_ms=None,
                told=self._told,
                changed=lambda is_: self._telemetry.asked("event_log", is_asked=is_ == "closed"),
            )
        return LogAppenders(settings, clock, guard, machine=platform.node())

    def _new_scraping(self, registry: CollectorRegistry, health: Health, clock: Clock) -> Scraping:
        layout = self._settings.layout
        self._objectives = ObjectiveFiles(
            self._telemetry.objectives, layout, uuid4().hex, clock, self._told
        )
        workers = WorkerMetrics(
            registry,
            layout.state / "metrics" / platform.node(),  # machines may share a home
            clock,
            worker=str(os.getpid()),
            n_workers=self._settings.http.workers,
        )
        return Scraping(
            layout,
            self._telemetry,
            workers,
            health=health,
            watcher=self._watcher,
            clock=clock,
            gpus=None if self._settings.models.device == "cpu" else Gpus.found(),
        )

    def _new_access(self, clock: Clock, told: Told) -> Access:
        return Access(
            AccessKeyFile(self._settings.layout.access),
            clock,
            told,
            n_workers=self._settings.http.workers,
            quotas=SharedQuotas(self._counts, clock, told),
        )

    def _new_engine(self, mask: Mask, clock: Clock, told: Told) -> Engine:
        settings, counting = self._settings, Counting()
        self._publisher = CountPublisher(
            counting,
            self._counts,
            uuid4().hex,  # a worker that starts again is another: what the last counted stays
            live=self._releases.experiments,
            clock=clock,
            told=told,
        )
        self._shadows = Shadows(
            self._releases,
            counting,
            self._online.reader,
            ShadowProcess(self._bundle_of, patience_s=settings.engine.shadow_patience_ms / 1_000),
            clock,
        )
        passes = Passes(
            reader=OneATurn(self._online.reader),
            recording=Recording(self._records, mask),
            explaining=self._explainer,
            clock=clock,
            observer=self._telemetry,
            shadows=self._shadows,
            budgets=Budgets(settings.explainer.budget_ms),
        )
        patience_ms = settings.engine.challenger_patience_ms
        return Engine(
            releases=self._releases,
            passes=passes,
            splitting=Splitting(counting, clock, patience_ms=patience_ms),
            clock=clock,
            observer=self._telemetry,
        )

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Load what is on the shelf, then follow it; seal records at the end."""
        del app
        with ending_in_words("the service cannot start"):
            await asyncio.to_thread(self._start)
        leave_to_stay()
        with ending_in_words("the service did not end in good order"):
            async with AsyncExitStack() as ending:
                self._begin_ending(ending)
                await ending.enter_async_context(following(self._followers(), self._clock))
                with ending_in_words("the service cannot listen for gRPC"):
                    await ending.enter_async_context(self._grpc())
                yield

    def _followers(self) -> dict[str, Follow]:
        """What goes on beside the requests."""
        return {
            "following the shelf": self._follow,
            "sealing records": self._tick,
            "shipping records": self._ship,
            "following access keys": self._access.follow,
            "publishing counts of rollouts": self._publisher.follow,
            "comparing shadows": self._shadows.follow,
            "leaving metrics": self._scraping.follow,
            "leaving counts of objectives": self._objectives.follow,
        }

    def _begin_ending(self, ending: AsyncExitStack) -> None:
        """What is done at the end, the last first: one that fails keeps no other from its turn."""
        if self._spans is not None:
            ending.push_async_callback(asyncio.to_thread, self._spans.close)
        ending.callback(self._online.close)
        ending.push_async_callback(asyncio.to_thread, self._shipper.ship)
        ending.callback(self._records.close)
        ending.push_async_callback(self._explainer.close)
        ending.callback(self._counts.close)
        ending.push_async_callback(self._objectives.leave)
        ending.push_async_callback(self._publisher.publish)
        ending.callback(lambda: self._access.share_quotas(self._access.spent_today()))
        ending.callback(lambda: self._access.look(self._access.taken_refusals(), is_last=True))

    def _grpc(self) -> AbstractAsyncContextManager[None]:
        """The server for gRPC; nothing of it is imported where it is not asked for."""
        settings = self._settings
        if not settings.grpc.port:
            return nullcontext()
        from serving.transport.grpc_inference import Desk, listening

        patience_ms = settings.http.body_timeout_ms
        desk = Desk(
            self.app.gate, self._access, self._telemetry, self._clock, patience_ms=patience_ms
        )
        return listening(settings.grpc, settings.http, self._inference, desk)

    def _start(self) -> None:
        self._records.adopt()
        self._look()
        if self._settings.models.device != "cpu":
            self._see_devices()

    def _see_devices(self) -> None:
        """Wait until it is known where all champions run; DeviceError where one would not."""
        while self._watcher.is_pending:
            self._look()
        if self._watcher.misplaced:
            raise DeviceError(
                "the service does not start while a champion would run elsewhere than it was asked",
                found="; ".join(self._watcher.misplaced),
            )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._settings.engine.shelf_poll_ms / 1_000)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        if self._watcher.look():
            roster = self._releases.roster
            self._telemetry.serving(roster.channels.counter, roster.use_cases)
            self._telemetry.models(self._warming.sizes())

    async def _tick(self) -> None:
        """Seal records again and again; what cannot be sealed is tried with the next tick."""
        repeats = Repeats(self._clock)
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await asyncio.to_thread(self._records.tick)
            except OSError as error:
                repeats.met("records", partial(self._cannot_seal, error))

    def _cannot_seal(self, error: OSError, more: str) -> None:
        because = os.strerror(error.errno or 0)
        self._told(Trouble(f"records cannot be sealed and stay on this machine: {because}{more}"))

    async def _ship(self) -> None:
        while True:
            await asyncio.sleep(self._settings.records.ship_every_ms / 1_000)
            await asyncio.to_thread(self._shipper.ship)


def _spans(tracing: TracingSettings) -> Spans | None:
    """Where spans go; None where nobody wants them."""
    return Spans.to(tracing.url, share=tracing.share) if tracing.url else None


def application() -> ASGIApp:
    """Application of one worker; uvicorn calls this in each."""
    settings, told = settings_and_teller("service", os.environ)
    with ending_in_words("the service cannot be built"):
        return Service(settings, SystemClock(), told).app
