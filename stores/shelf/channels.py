"""What is served and who asked for it: ``channels.json``, requests and answers on the shelf.

::

    channels.json   history/<counter>.json   requests/<id>.json   answers/<id>.json

The controller alone writes channels and answers; anybody who may write here leaves requests.
What a rollout did and why is kept by ``stores.shelf.rollouts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

from pydantic import Field, ValidationError

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.features.plan import Frozen
from core.rollout.stages import RiskTier, Rollout
from stores.durable import write_durably
from stores.keys.signing import KeyRing, Signature, Signer
from stores.layout import Layout
from stores.plain_files import read_plain
from stores.shelf.papers import StageApproval, signed_bytes

Channel = Literal["champion", "challenger", "shadow"]
Asked = Literal[
    "promote", "rollback", "start", "hold", "resume", "approve_stage", "withdraw", "shadow"
]
FORMER_CHAMPIONS_KEPT = 20
MAX_DOCUMENT_BYTES = 1 << 20
Document = TypeVar("Document", bound=Frozen)
_REQUEST_ID = re.compile(r"[0-9]{13}-[0-9a-f]{12}")


def _is_absent(value: object) -> bool:
    return not value


class RolloutState(Frozen):
    """A rollout under way. ``experiment`` is what entities are assigned and counted by.

    No two rollouts have the same: a second try of one release assigns anew. ``plan`` and
    ``risk_tier`` are those of the challenger's bundle. A person's hold keeps it from moving on;
    a broken gate rolls it back all the same. ``approved_stages`` are those a person lets it leave.
    """

    experiment: str = Field(min_length=1, max_length=200)
    plan: Rollout
    risk_tier: RiskTier
    stage: int = Field(default=0, ge=0)
    started_at_ms: int
    stage_started_at_ms: int
    is_held: bool = False
    approved_stages: tuple[int, ...] = ()


class KeptContract(Frozen):
    """A contract that a new major followed: who answers it, and until when.

    ``release`` is None once that time is over; what is kept then tells callers when it was.
    """

    major: int = Field(ge=1)
    release: int | None = None
    since_ms: int
    until_ms: int

    @property
    def channel(self) -> str:
        """What its release is served as."""
        return f"contract_{self.major}"


class ChannelState(Frozen):
    """Releases that a use case serves. ``challenger_weight`` is a share of entities, 0 to 1.

    ``older`` are contracts of majors before the champion's, each major once, the oldest first.

    ``former_champions`` has the latest first: what a rollback without a release goes to.
    ``request_id`` is the last request that moved something here. What is not there is not written,
    so signatures from before it could be hold.
    """

    champion: int | None = None
    challenger: int | None = None
    challenger_weight: float = Field(default=0.0, ge=0.0, le=1.0)
    shadow: int | None = None
    former_champions: tuple[int, ...] = ()
    rollout: RolloutState | None = Field(default=None, exclude_if=_is_absent)
    shadow_experiment: str = Field(default="", exclude_if=_is_absent)
    older: tuple[KeptContract, ...] = Field(default=(), exclude_if=_is_absent)
    request_id: str = Field(default="", exclude_if=_is_absent)

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names that the rollout and the shadow are counted by."""
        rollout = "" if self.rollout is None else self.rollout.experiment
        return tuple(name for name in (rollout, self.shadow_experiment) if name)

    @property
    def by_channel(self) -> dict[str, int]:
        """Release by channel, of the channels that have one."""
        named = {"champion": self.champion, "challenger": self.challenger, "shadow": self.shadow}
        return {channel: release for channel, release in named.items() if release is not None}

    @property
    def releases(self) -> tuple[int, ...]:
        """Distinct releases in any channel, champion first."""
        older = (kept.release for kept in self.older)
        named = (self.champion, self.challenger, self.shadow, *older)
        return tuple(dict.fromkeys(release for release in named if release is not None))


class Channels(Frozen):
    """The one truth about what is served. ``counter`` only grows; 0 is the empty shelf."""

    counter: int = Field(default=0, ge=0)
    written_at_ms: int = 0
    use_cases: dict[str, ChannelState] = Field(default_factory=dict)

    def state(self, use_case: str) -> ChannelState:
        """Channels of a use case; empty ones when it has none yet."""
        return self.use_cases.get(use_case, ChannelState())


class SignedChannels(Frozen):
    """Content of ``channels.json``: the channels and the controller's signature over them."""

    channels: Channels
    signature: Signature


class ChannelRequest(Frozen):
    """What assets, the command line and workers ask of the controller.

    ``promote`` a release at once; ``rollback`` to a former champion, the one before this when
    none is named (``may_refuse``: also where callers of a newer contract are refused then).
    ``start`` a rollout of a release (``is_at_once``: blue-green, all entities);
    ``hold`` and ``resume`` it, ``approve_stage`` by a person's signed word, ``withdraw`` the
    challenger. ``shadow`` a release, or none any more when none is named.
    """

    request_id: str
    action: Asked
    use_case: str
    release: int | None = None
    is_at_once: bool = False
    may_refuse: bool = Field(default=False, exclude_if=_is_absent)
    approval: StageApproval | None = None
    why: str = Field(min_length=1, max_length=2_000)
    who: str = Field(min_length=1, max_length=200)
    at_ms: int


class ChannelAnswer(Frozen):
    """What the controller did with a request, and why; ``counter`` of the channels after it.

    ``request`` is None where the file was no request. ``code`` is ``done``, ``unchanged`` or
    that of the error which refused it.
    """

    request_id: str
    request: ChannelRequest | None
    is_accepted: bool
    because: str
    code: str = "done"
    counter: int
    at_ms: int


class ChannelBoard:
    """The shelf's documents about what is served."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def path(self) -> Path:
        """The one truth about what is served."""
        return self.root / "channels.json"

    def read(self, keys: KeyRing) -> Channels:
        """Channels as the controller signed them; empty ones with counter 0 when none are.

        Raises
        ------
        IntegrityError
            If the file is not what a known controller key signed.
        """
        if not self.path.exists():
            return Channels()
        signed = read_document(self.path, SignedChannels)
        keys.verify("channels", signed_bytes(signed.channels), signed.signature)
        return signed.channels

    def signed_by(self) -> str:
        """Id of the key that the channels name, not verified; empty when there are none."""
        if not self.path.exists():
            return ""
        return read_document(self.path, SignedChannels).signature.key_id

    def write(self, channels: Channels, signer: Signer) -> None:
        """Sign and replace the channels. For the controller only."""
        signature = signer.sign(signed_bytes(channels))
        content = document_bytes(SignedChannels(channels=channels, signature=signature))
        self._history().mkdir(parents=True, exist_ok=True)
        write_durably(self._kept(channels.counter), content)
        write_durably(self.path, content)

    def ask(
        self,
        action: Asked,
        use_case: str,
        *,
        release: int | None = None,
        is_at_once: bool = False,
        may_refuse: bool = False,
        approval: StageApproval | None = None,
        why: str,
        who: str,
        at_ms: int,
    ) -> ChannelRequest:
        """Leave a request for the controller; its answer comes under the same id."""
        request = ChannelRequest(
            request_id=f"{at_ms:013d}-{uuid4().hex[:12]}",
            action=action,
            use_case=use_case,
            release=release,
            is_at_once=is_at_once,
            may_refuse=may_refuse,
            approval=approval,
            why=why,
            who=who,
            at_ms=at_ms,
        )
        folder = self.root / "requests"
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / f"{request.request_id}.json", document_bytes(request))
        return request

    def pending(self) -> tuple[str, ...]:
        """Ids of requests not yet answered, oldest first."""
        paths = (self.root / "requests").glob("*.json")
        ids = [path.stem for path in paths if not path.is_dir()]  # one could not be taken away
        return tuple(sorted(each for each in ids if _REQUEST_ID.fullmatch(each)))

    def waiting(self) -> Iterator[ChannelRequest]:
        """Requests not yet answered, oldest first, but for those that are answered meanwhile."""
        for request_id in self.pending():
            try:
                yield self.request(request_id)
            except NotReadyError:
                continue

    def request(self, request_id: str) -> ChannelRequest:
        """Request left under an id; IntegrityError when the file is not one."""
        request = read_document(self._path("requests", request_id), ChannelRequest)
        if request.request_id != request_id:
            raise IntegrityError(
                "a request names another id than its file", remedy="leave the request again"
            )
        return request

    def latest(self, keys: KeyRing) -> Channels:
        """Channels to go on from: the highest counter in ``channels.json`` and the history.

        So neither a crash between the two nor a lost file makes a counter go back.
        """
        current = self.read(keys)
        paths = sorted(self._history().glob("*.json"))
        paths = [path for path in paths if path.stem.isdecimal()]
        if not paths or int(paths[-1].stem) <= current.counter:
            return current
        signed = read_document(paths[-1], SignedChannels)
        keys.verify("channels", signed_bytes(signed.channels), signed.signature)
        return signed.channels

    def is_behind(self, channels: Channels) -> bool:
        """Whether a later state was signed: a crash, or a full disk, came before its file."""
        return self._kept(channels.counter + 1).exists()

    def answer(self, answer: ChannelAnswer) -> None:
        """Put down the answer, then take the request away. For the controller only."""
        path = self._path("answers", answer.request_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, document_bytes(answer))
        self._path("requests", answer.request_id).unlink(missing_ok=True)

    def answer_to(self, request_id: str) -> ChannelAnswer | None:
        """Answer to a request; None while the controller has not given one."""
        path = self._path("answers", request_id)
        return read_document(path, ChannelAnswer) if path.exists() else None

    def _history(self) -> Path:
        return self.root / "history"

    def _kept(self, counter: int) -> Path:
        return self._history() / f"{counter:08d}.json"

    def _path(self, folder: str, request_id: str) -> Path:
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise InvalidInputError(
                "not the id of a request", remedy="use the id that `ask` returned"
            )
        return self.root / folder / f"{request_id}.json"


def read_channels(layout: Layout) -> Channels:
    """What is served from a home, as `ChannelBoard.read` verifies it by the home's keys."""
    return ChannelBoard(layout.shelf).read(KeyRing.from_directory(layout.keys))


def document_bytes(document: Frozen) -> bytes:
    """JSON of a document for people and programs: indented, keys as declared."""
    return document.model_dump_json(indent=2).encode() + b"\n"


def read_document(path: Path, kind: type[Document]) -> Document:
    """Document of ``kind`` in a file; IntegrityError when it is no file, too large, or not one."""
    try:
        content = read_plain(path, most_bytes=MAX_DOCUMENT_BYTES)
    except FileNotFoundError as error:
        raise NotReadyError(f"no document {path.name}", code="no_document") from error
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise IntegrityError(
            f"{path.name} is not a {kind.__name__}",
            found=f"{error.error_count()} fields that do not fit",
            remedy="restore the file; it is written by this project only",
            code="bad_document",
        ) from error
