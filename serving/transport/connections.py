"""A connection: uvicorn's, with the limits that it lacks, and refusals that say why.

uvicorn bounds how long a connection may rest between requests, and nothing else: one that sends
a header a second, or garbage, or never reads its answer, stays for ever, and httptools takes
headers of any size. So a clock runs whenever the next request is to come and is not there whole;
it costs nothing where a request's head comes in one piece. The bodies of requests have their
clock where they are read (`serving.transport.body`).
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from core.errors import PlatformError
from serving.errors import (
    HeadersTooLargeError,
    MalformedRequestError,
    SlowHeadersError,
    TooManyConnectionsError,
)
from serving.settings import HttpSettings
from serving.telemetry.tracing import current, lines_of, trace_of
from serving.transport.joined_writes import JoinedWrites
from serving.transport.problems import problem

MOST_PIPELINED = 100
"""Requests that may wait on one connection for the answer to the one before."""
LINGER_S = 5.0
"""How long a closing connection may take to read its last answer."""
MOST_FRAMING_BYTES = 1 << 20
"""Bytes of a body that are not its content, beyond those of chunks of one byte."""
_FRAMING_OF_A_BYTE = 8
_VERSIONS = ("1.1", "1.0")
_HOST = re.compile(rb"(\[[\w.:]+\]|[\w.~!$&'()*+,;=%-]*)(:\d*)?")  # `uri-host` of RFC 9110
ALWAYS_ANSWERED = (b"/livez", b"/readyz", b"/metrics")
"""Asked by what watches over us, which must not wait for a place."""


class _Refusal(Exception):  # noqa: N818 - carries an error out of the parser's callbacks
    def __init__(self, error: PlatformError) -> None:
        self.error = error


class Connection(HttpToolsProtocol):
    """One connection. Its application says what it may use: ``limits``, ``refused``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits: HttpSettings = self.app.limits
        self._clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None
        self._rest_clock: asyncio.TimerHandle | None = None
        self._rests_since_s: float | None = None  # of the loop; None while something is under way
        self._is_idle = False  # it rests, which is then not asked again
        self._running: Any = None  # the cycle that is being answered, or was last
        self._refused_after: PlatformError | None = None  # to be told behind whole requests
        self._is_refused = False
        self._is_over = False
        self._is_begun = False  # a request has begun and its head is not whole
        self._is_begun_now = False
        self._n_head_least = 0  # bytes of it so far; what was read with it may be of another
        self._n_head_most = 0
        self._n_body_bytes = 0  # of a body that does not come in one piece, as it comes
        self._n_content = 0  # of what it holds

    # -- what asyncio calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; cut it off at once where there are far too many."""
        super().connection_made(transport)
        most, n_open = self._limits.max_connections, len(self.connections)
        if n_open > most + most // 4 + len(ALWAYS_ANSWERED):
            self.app.refused(TooManyConnectionsError.code)
            transport.abort()
            return
        self._is_over = n_open > most
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._stop_clock()
        if self._rest_clock is not None:
            self._rest_clock.cancel()
        if self._running is not None:  # uvicorn knows of the request that came last
            self._running.disconnected = True
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse what is no request; see that a head comes whole in time."""
        if self._is_refused:
            return
        self._rests_since_s = None
        self._is_idle = False
        self._is_begun_now = False
        held = len(self.cycle.body) if self._n_body_bytes else 0
        self._n_head_most = len(data) + (self._n_head_most if self._is_begun else 0)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # answered as if it had not asked; the parser is spent
        except httptools.HttpParserError as error:
            found = error.__context__
            self._refuse(found.error if isinstance(found, _Refusal) else _malformed())
            return
        if self._is_begun:
            came = self._held() if self._is_begun_now else self._n_head_least + len(data)
            self._n_head_least = came
            if self._n_head_least > self._limits.max_header_bytes:
                self._refuse(self._headers_too_large())
                return
        if self._running is None or self._running.response_complete:
            self._start_clock()
        elif self.cycle.more_body:
            self._check_framing(len(data), held)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more comes: whoever asked whole still gets an answer."""
        if not self._is_answering or self.cycle.more_body:
            return False  # it is closed
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The other side does not read: not for ever."""
        super().pause_writing()
        if self._write_clock is None:
            seconds = self._limits.write_timeout_ms / 1_000
            self._write_clock = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The other side reads again."""
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
        if self.flow is not None:
            super().resume_writing()

    # -- what the parser calls ------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_begun = self._is_begun_now = True

    def on_headers_complete(self) -> None:
        """Its head is whole: answer it, or say why not."""
        self._stop_clock()
        self._is_begun = False
        self._n_body_bytes = 0
        self._check_head()
        trace = trace_of(self.headers)
        current.set(trace)  # the task that answers takes it along
        super().on_headers_complete()
        self.cycle.default_headers = [*self.server_state.default_headers, *trace.headers()]
        if self.scope["http_version"] not in _VERSIONS:
            raise _Refusal(_malformed())
        if self.scope["http_version"] == "1.0":  # it knows no answer before the answer
            self.cycle.waiting_for_100_continue = False
        self.headers = []  # trailers, dropped: whoever reads headers has read them by then
        if self.cycle.scope["method"] != "HEAD":  # its answer ends with the head
            self._join_writes(self.cycle)
        if self._is_over:
            self.cycle.keep_alive = False

    def _join_writes(self, cycle: Any) -> None:
        joined: Any = JoinedWrites(self.transport, cycle)  # as much as a cycle asks of it
        cycle.transport = joined

    def _check_head(self) -> None:
        """Raise where a head that is whole is not one to be answered."""
        most = self._limits.max_header_bytes
        if self._n_head_most > most and self._held() > most:
            raise _Refusal(self._headers_too_large())
        if self.parser.should_upgrade() and self._has_body():
            raise _Refusal(_malformed("send a body without asking for an upgrade"))
        if len(self.pipeline) >= MOST_PIPELINED:
            raise _Refusal(_malformed(f"wait for answers when {MOST_PIPELINED} are to come"))
        if self._is_over and self.url not in ALWAYS_ANSWERED:
            raise _Refusal(self._too_many())
        if not _has_host(self.headers) and self.parser.get_http_version() != "1.0":
            raise _Refusal(_malformed("send HTTP/1.1 with one Host header that names a host"))
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and not _is_chunked(codings, self.parser.get_http_version()):
            raise _Refusal(_malformed("send a body of said length, or in chunks and no other way"))

    # -- what uvicorn calls ---------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Go on with the next request; tell a refusal that had to wait for this answer."""
        # A cycle and its joined writes hold each other: apart, no collector needs to look for them.
        self._running.transport = self.transport
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()
            self._rest()
        if self.transport.is_closing():
            self._linger()
        elif not self.pipeline and self._running.response_complete:
            if self._refused_after is not None:
                self._tell(self._refused_after)
            elif self._is_begun:
                self._start_clock()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _is_resting(self) -> bool:
        """Whether nothing is under way here, so that bytes that come begin a request.

        A request may be answered before its body has come: what comes then is no request.
        """
        if self._is_begun or self._is_refused or self._is_over or self._is_answering:
            return False
        return self.cycle is None or not self.cycle.more_body

    # -- clocks ---------------------------------------------------------------------------

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _start_clock(self) -> None:
        if self._clock is None:
            seconds = self._limits.header_timeout_ms / 1_000
            self._clock = self.loop.call_later(seconds, self._late)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        if self.transport.is_closing() or self._is_answering:
            return
        if not self._is_begun:
            self._close()
            return
        self._refuse(
            SlowHeadersError(
                "the head of the request did not arrive in time",
                found=f"more than {self._limits.header_timeout_ms} ms",
                remedy="send it at once",
            )
        )

    def _rest(self) -> None:
        """Nothing is under way, but not for ever. One clock serves many rests: most are short."""
        self._rests_since_s = self.loop.time()
        self._is_idle = self._is_resting
        if self._rest_clock is None:
            self._rest_clock = self.loop.call_later(self._limits.keep_alive_s, self._has_rested)

    def _has_rested(self) -> None:
        self._rest_clock = None
        if self._rests_since_s is None:
            return
        rest_s = self._rests_since_s + self._limits.keep_alive_s - self.loop.time()
        if rest_s > 0:
            self._rest_clock = self.loop.call_later(rest_s, self._has_rested)
        else:
            self._close()

    # -- refusals -------------------------------------------------------------------------

    def _refuse(self, error: PlatformError) -> None:
        """Answer no more on this connection; what was asked whole before is answered first."""
        self._is_refused = True
        self._stop_clock()
        if not self._is_answering:
            self._tell(error)
        elif self._running is self.cycle and self.cycle.more_body:  # its body is at fault
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self._close()
            else:
                self._tell(error)
        else:
            if self.pipeline and self.cycle.more_body:
                self.pipeline.popleft()  # the one whose body is at fault came last
            self._refused_after = error

    def _tell(self, error: PlatformError) -> None:
        self.app.refused(error.code)
        answer = problem(error)
        trace = trace_of(list(self.scope["headers"]) if self.scope else ())
        headers = [*self.server_state.default_headers, *trace.headers(), *answer.raw_headers]
        headers.append((b"connection", b"close"))
        head = STATUS_LINE[answer.status_code] + lines_of(headers) + b"\r\n"
        self.transport.write(head + bytes(answer.body))
        self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            self._linger()

    def _linger(self) -> None:
        """Let what was written be read, for a while: a closing transport waits for ever."""
        self._stop_clock()
        self._clock = self.loop.call_later(LINGER_S, self.transport.abort)

    def _check_framing(self, n_bytes: int, n_held: int) -> None:
        """Refuse a body that is hardly content; ``n_held`` of that were there before."""
        self._n_content = (
            len(self.cycle.body) - n_held + (self._n_content if self._n_body_bytes else 0)
        )
        self._n_body_bytes += n_bytes
        if self._n_body_bytes - _FRAMING_OF_A_BYTE * self._n_content > MOST_FRAMING_BYTES:
            self._refuse(_malformed("send chunks with little beside their content"))

    def _held(self) -> int:
        """Bytes of a head so far, without the piece of it that is not whole."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _has_body(self) -> bool:
        sized = dict(self.headers)
        return sized.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in sized

    def _headers_too_large(self) -> HeadersTooLargeError:
        return HeadersTooLargeError(
            "the head of the request is too large",
            found=f"more than {self._limits.max_header_bytes} bytes",
            remedy="send less in its address and headers",
        )

    def _too_many(self) -> TooManyConnectionsError:
        return TooManyConnectionsError(
            "there are too many connections",
            found=f"more than {self._limits.max_connections}",
            remedy="come back later, or send requests over fewer",
        )


def _has_host(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether one header says which host was meant, as HTTP/1.1 asks of every request."""
    hosts = [value for name, value in headers if name == b"host"]
    return len(hosts) == 1 and _names_host(hosts[0])


def _is_chunked(codings: list[bytes], version: str) -> bool:
    """Whether a body is in chunks and nothing else, which HTTP/1.0 does not know.

    The parser looks at the last coding: of a zipped body in chunks it would give the zipped bytes.
    """
    return version != "1.0" and [each.strip(b" \t").lower() for each in codings] == [b"chunked"]


@lru_cache(maxsize=16)  # whoever sends many requests sends them to one host
def _names_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _malformed(remedy: str = "send HTTP/1.1") -> MalformedRequestError:
    return MalformedRequestError("the bytes are not a request that is taken", remedy=remedy)
