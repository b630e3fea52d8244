"""Messages that no caller should send, each with the answer that it is to get.

What goes over the socket, piece by piece (a number waits so many seconds), whether the sender
then says that nothing more comes, and the answer: status and code, or 0 where the connection
just ends.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass

from bad_bodies import GOOD
from wire import request


@dataclass(frozen=True)
class Message:
    """What goes over a socket, and what is to come back."""

    parts: tuple[bytes | float, ...]
    status: int
    code: str = ""
    is_ended: bool = False


def _get(path: bytes, *headers: bytes) -> bytes:
    return request(b"", *headers, path=path, method=b"GET")


def _raw(*parts: bytes | float, status: int = 400, code: str = "malformed_request") -> Message:
    return Message(parts, status, code)


def _chunked(body: bytes) -> bytes:
    return request(body, b"Transfer-Encoding: chunked")


def _sized(length: bytes) -> bytes:
    return request(GOOD, b"Content-Length: " + length)


def _typed(*headers: bytes, status: int = 415, code: str = "unsupported_media_type") -> Message:
    return Message((request(GOOD, *headers),), status, code)


END = b"0\r\n\r\n"
WHOLE = b"%x\r\n%b\r\n" % (len(GOOD), GOOD)
INFER = b"/v2/models/toy/infer"
VECTOR = b'{"inputs":[{"name":"vector","datatype":"FP32","shape":[1,5],"data":[1,2,3,4,5]}]}'

LINES = {
    "tls": _raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.Random(1).randbytes(200)),
    "no version": _raw(b"POST /v1/toy/predictions\r\n\r\n"),
    "bad version": _raw(b"POST / HTTP/9.9\r\n\r\n"),
    "version in small letters": _raw(b"GET /livez http/1.1\r\nHost: x\r\n\r\n"),
    "version of one digit": _raw(b"GET /livez HTTP/1\r\nHost: x\r\n\r\n"),
    "http/0.9": _raw(b"GET /livez\r\n\r\n"),
    "http/0.9, one line": Message((b"GET /livez\r\n",), 408, "slow_headers"),
    "whole and an end": Message((request(GOOD),), 200, is_ended=True),
    "http/1.0": _raw(b"GET /livez HTTP/1.0\r\n\r\n", status=200, code=""),
    "http/2 preface": _raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http/2 preface and settings": _raw(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    ),
    "zero in the method": _raw(b"P\x00ST / HTTP/1.1\r\n\r\n"),
    "method in small letters": _raw(b"post / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "unknown method": _raw(b"BREW /mark4111 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "long method": _raw(b"A" * 5_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no method": _raw(b" /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "another method": _raw(_get(b"/v1/toy/predictions"), status=405, code="method_not_allowed"),
    "a method for whole servers": _raw(
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", status=404, code="not_found"
    ),
    "trace": _raw(
        b"TRACE /livez HTTP/1.1\r\nHost: mark4111\r\n\r\n", status=405, code="method_not_allowed"
    ),
    "connect": _raw(b"CONNECT mark4111:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no target": _raw(b"GET  HTTP/1.1\r\nHost: x\r\n\r\n"),
    "space in the target": _raw(b"GET /mark 4111 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no slash": _raw(b"GET livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "whole address": _raw(
        b"GET http://mark4111/livez HTTP/1.1\r\nHost: x\r\n\r\n", status=200, code=""
    ),
    "another scheme": _raw(b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
    "huge path": _raw(_get(b"/" + b"a" * 100_000), status=431, code="headers_too_large"),
    "huge query": _raw(_get(b"/livez?" + b"a" * 100_000), status=431, code="headers_too_large"),
    "many parameters": _raw(
        _get(b"/v1/predictions/mark4111?" + b"&".join([b"a=b"] * 2_000)),
        status=404,
        code="unknown_record",
    ),
    "fragment": _raw(_get(b"/livez#mark4111"), status=200, code=""),
    "bad escape": _raw(_get(b"/v1/%zz/mark4111"), status=404, code="not_found"),
    "dots": _raw(_get(b"/v1/../../etc/passwd"), status=404, code="not_found"),
    "escaped dots": _raw(
        _get(b"/v1/predictions/%2e%2e%2f%2e%2e%2fkeys"), status=404, code="not_found"
    ),
    "escaped zero": _raw(_get(b"/v1/predictions/mark4111%00"), status=404, code="unknown_record"),
    "escaped newline": _raw(
        _get(b"/v1/predictions/mark4111%0d%0aX:%20y"), status=404, code="unknown_record"
    ),
    "overlong escape": _raw(_get(b"/v1/predictions/%c0%af"), status=404, code="unknown_record"),
    "surrogate escape": _raw(_get(b"/v1/predictions/%ed%a0%80"), status=404, code="unknown_record"),
    "bytes in the path": _raw(_get(b"/v1/predictions/\xff\xfe")),
    "zero in the path": _raw(_get(b"/v1/predictions/\x00")),
    "backslash": _raw(_get(b"\\livez")),
    "two slashes": _raw(_get(b"//livez"), status=404, code="not_found"),
    "slash behind": _raw(_get(b"/livez/"), status=404, code="not_found"),
    "long id": _raw(
        _get(b"/v1/predictions/" + b"mark4111" * 500), status=404, code="unknown_record"
    ),
    "unknown use case": _raw(
        request(GOOD, path=b"/v1/mark4111/predictions"), status=404, code="unknown_use_case"
    ),
    "unknown source": _raw(
        request(GOOD, path=b"/v1/events/mark4111"), status=404, code="unknown_source"
    ),
    "line feeds alone": _raw(b"GET /livez HTTP/1.1\nHost: x\n\n"),
    "carriage returns alone": _raw(b"GET /livez HTTP/1.1\rHost: x\r\r"),
    "empty lines before": _raw(b"\r\n\r\n" + _get(b"/livez"), status=200, code=""),
    "nothing but an end": Message((), 0, is_ended=True),
    "half a line and an end": Message((b"GET /liv",), 0, is_ended=True),
    "half a line": Message((b"GET /liv",), 408, "slow_headers"),
    "a line, slowly": Message(
        (b"GET /liv", 0.2, b"ez HTTP/1.1\r\n", 0.2, b"Host:"), 408, "slow_headers"
    ),
}

HEADERS = {
    "no colon": _raw(b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n"),
    "no name": _raw(b"GET /livez HTTP/1.1\r\n: mark4111\r\n\r\n"),
    "space in a name": _raw(b"GET /livez HTTP/1.1\r\nHo st: x\r\n\r\n"),
    "space behind a name": _raw(b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n"),
    "zero in a value": _raw(_get(b"/livez", b"A: mark4111\x00")),
    "control in a value": _raw(_get(b"/livez", b"A: mark4111\x01")),
    "delete in a value": _raw(_get(b"/livez", b"A: mark4111\x7f")),
    "zero in a name": _raw(_get(b"/livez", b"A\x00: mark4111")),
    "bytes in a name": _raw(_get(b"/livez", b"\xff: mark4111")),
    "bytes in a value": _raw(_get(b"/livez", b"A: mark4111\xff"), status=200, code=""),
    "a folded value": _raw(_get(b"/livez", b"A: mark\r\n 4111")),
    "a return in a value": _raw(_get(b"/livez", b"A: mark\r4111")),
    "a huge value": _raw(
        _get(b"/livez", b"A: " + b"y" * 100_000), status=431, code="headers_too_large"
    ),
    "a huge name": _raw(
        _get(b"/livez", b"y" * 100_000 + b": z"), status=431, code="headers_too_large"
    ),
    "many": _raw(
        _get(b"/livez", *[b"A-%d: y" % n for n in range(5_000)]),
        status=431,
        code="headers_too_large",
    ),
    "many alike": _raw(_get(b"/livez", *[b"A: y"] * 1_000), status=200, code=""),
    "no host": _raw(b"GET /livez HTTP/1.1\r\n\r\n"),
    "no host in http/1.0": _raw(b"GET /livez HTTP/1.0\r\nA: y\r\n\r\n", status=200, code=""),
    "two hosts": _raw(_get(b"/livez", b"Host: mark4111")),
    "a host that is none": _raw(b"GET /livez HTTP/1.1\r\nHost: mark/4111\r\n\r\n"),
    "a host with a user": _raw(b"GET /livez HTTP/1.1\r\nHost: mark@4111\r\n\r\n"),
    "an empty host": _raw(b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n", status=200, code=""),
    "a host by its address": _raw(
        b"GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", status=200, code=""
    ),
    "a strange key": _raw(request(GOOD, b"Authorization: \xff\xfe mark4111"), status=200, code=""),
    "a strange trace": _raw(_get(b"/livez", b"Traceparent: mark4111"), status=200, code=""),
    "a strange id": _raw(_get(b"/livez", b"X-Request-ID: mark4111 \xff"), status=200, code=""),
    "strange wishes": _raw(
        _get(b"/v1/predictions/x", b"Accept: text/html;q=nan, */*;q=mark4111;;;,,"),
        status=404,
        code="unknown_record",
    ),
    "an unknown expectation": _raw(_get(b"/livez", b"Expect: mark4111"), status=200, code=""),
    "a range": _raw(_get(b"/livez", b"Range: bytes=9-1"), status=200, code=""),
    "websocket": _raw(
        _get(
            b"/livez",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
        ),
        status=200,
        code="",
    ),
    "h2c": _raw(
        _get(
            b"/livez",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
        ),
        status=200,
        code="",
    ),
    "an upgrade with a body": _raw(request(GOOD, b"Connection: Upgrade", b"Upgrade: h2c")),
    "a frame behind an upgrade": _raw(
        _get(b"/livez", b"Connection: Upgrade", b"Upgrade: websocket") + b"\x81\x85mark4111",
        status=200,
        code="",
    ),
    "a gzipped body": _raw(
        request(gzip.compress(GOOD), b"Content-Encoding: gzip"),
        status=415,
        code="unsupported_media_type",
    ),
    "an unknown encoding": _typed(b"Content-Encoding: mark4111"),
    "no type": _typed(b"Content-Type:"),
    "plain text": _typed(b"Content-Type: text/plain"),
    "a form": _typed(b"Content-Type: application/x-www-form-urlencoded"),
    "parts": _typed(b"Content-Type: multipart/form-data; boundary=mark4111"),
    "another charset": _typed(b"Content-Type: application/json; charset=latin-1"),
    "a kind of json": _typed(b"Content-Type: application/mark4111+json"),
    "a type without a slash": _typed(b"Content-Type: json"),
    "a type of bytes": _typed(b"Content-Type: \xff\xfe"),
    "two types": _typed(b"Content-Type: text/plain", b"Content-Type: application/json"),
    "two types, the right one first": _typed(
        b"Content-Type: application/json", b"Content-Type: text/plain"
    ),
    "two encodings": _typed(b"Content-Encoding: identity", b"Content-Encoding: gzip"),
    "two contracts": _typed(
        b"Throughline-Contract: 1", b"Throughline-Contract: 9", status=404, code="unknown_contract"
    ),
}

FRAMES = {
    "negative length": _raw(_sized(b"-5")),
    "positive length": _raw(_sized(b"+5")),
    "length a word": _raw(_sized(b"mark4111")),
    "length in hex": _raw(_sized(b"0x5a")),
    "length twice in one": _raw(_sized(b"5, 5")),
    "length with a space": _raw(_sized(b"5 5")),
    "length without end": _raw(_sized(b"9" * 30)),
    "no length in it": _raw(_sized(b"")),
    "two lengths": _raw(request(GOOD, b"Content-Length: 5", b"Content-Length: 6")),
    "one length twice": _raw(request(GOOD, *[b"Content-Length: %d" % len(GOOD)] * 2)),
    "length beyond the limit": _raw(_sized(b"99999999999"), status=413, code="too_large"),
    "length and chunks": _raw(request(WHOLE, b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    "chunks and length": _raw(request(WHOLE, b"Transfer-Encoding: chunked", b"Content-Length: 5")),
    "length on http/1.0 and chunks": _raw(
        request(WHOLE, b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0")
    ),
    "identity": _raw(request(GOOD, b"Transfer-Encoding: identity")),
    "gzip alone": _raw(request(GOOD, b"Transfer-Encoding: gzip")),
    "chunked and then gzip": _raw(request(WHOLE, b"Transfer-Encoding: chunked, gzip")),
    "gzip and then chunked": _raw(request(WHOLE + END, b"Transfer-Encoding: gzip, chunked")),
    "gzip and then chunked, in two headers": _raw(
        request(WHOLE + END, b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")
    ),
    "identity, then chunked": _raw(request(WHOLE + END, b"Transfer-Encoding: identity,chunked")),
    "nothing and then chunked": _raw(request(WHOLE + END, b"Transfer-Encoding: , chunked")),
    "chunks on http/1.0": _raw(_chunked(WHOLE + END).replace(b"HTTP/1.1", b"HTTP/1.0")),
    "chunked in large letters": _raw(
        request(WHOLE + END, b"Transfer-Encoding: \tCHUNKED "), status=200, code=""
    ),
    "nearly chunked": _raw(request(WHOLE, b"Transfer-Encoding: xchunked")),
    "chunked twice": _raw(request(WHOLE + b"0\r\n\r\n", *[b"Transfer-Encoding: chunked"] * 2)),
    "a word as size": _raw(_chunked(b"zz\r\nmark4111\r\n0\r\n\r\n")),
    "a negative size": _raw(_chunked(b"-1\r\nmark4111\r\n0\r\n\r\n")),
    "a size in 0x": _raw(_chunked(b"0x5\r\nmark4\r\n0\r\n\r\n")),
    "a size beyond 64 bits": _raw(_chunked(b"f" * 18 + b"\r\nmark4111")),
    "no size": _raw(_chunked(b"\r\nmark4111\r\n0\r\n\r\n")),
    "a size with a space before": _raw(_chunked(b" 5\r\nmark4\r\n0\r\n\r\n")),
    "an extension": _raw(
        _chunked(b"%x;mark4111=1\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)), status=200, code=""
    ),
    "an extension without end": _raw(_chunked(b"5;" + b"a" * 3_000_000)),
    "an extension that stops": Message((_chunked(b"5;" + b"a" * 200_000),), 408, "slow_body"),
    "an extension of bytes": _raw(_chunked(b"5;\x00\xff\r\nmark4\r\n0\r\n\r\n")),
    "less than the size": Message((_chunked(b"9\r\nmark\r\n0\r\n\r\n"),), 408, "slow_body"),
    "more than the size": _raw(_chunked(b"3\r\nmark4111\r\n0\r\n\r\n")),
    "no line behind a chunk": _raw(_chunked(b"4\r\nmark0\r\n\r\n")),
    "line feeds alone": _raw(_chunked(b"%x\n%b\n0\n\n" % (len(GOOD), GOOD))),
    "one byte a chunk": _raw(
        _chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"),
        status=200,
        code="",
    ),
    "zeros before a size": _raw(
        _chunked(b"%032x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)), status=200, code=""
    ),
    "a trailer": _raw(_chunked(WHOLE + b"0\r\nX-More: mark4111\r\n\r\n"), status=200, code=""),
    "a trailer that would change the length": _raw(
        _chunked(WHOLE + b"0\r\nContent-Length: 5\r\n\r\n")
    ),
    "a trailer without end": _raw(_chunked(WHOLE + b"0\r\nX: " + b"y" * 3_000_000)),
    "trailers without end": _raw(_chunked(WHOLE + b"0\r\n" + b"X: y\r\n" * 500_000)),
    "a trailer that stops": Message(
        (_chunked(WHOLE + b"0\r\nX: " + b"y" * 200_000),), 408, "slow_body"
    ),
    "a broken trailer": _raw(_chunked(WHOLE + b"0\r\nmark 4111\r\n\r\n")),
    "garbage behind the last chunk": Message(
        (_chunked(WHOLE + b"0\r\nmark4111"),), 408, "slow_body"
    ),
    "chunks beyond the limit": _raw(
        _chunked(b"10000\r\n%b\r\n" % (b" " * 65_536) * 10), status=413, code="too_large"
    ),
    "no last chunk": Message((_chunked(WHOLE),), 408, "slow_body"),
    "no last chunk and an end": Message((_chunked(WHOLE),), 0, is_ended=True),
    "half a size": Message((_chunked(b"5"),), 408, "slow_body"),
    "half a body": Message((_sized(b"5000"),), 408, "slow_body"),
    "half a body and an end": Message((_sized(b"5000"),), 0, is_ended=True),
    "a body, slowly": Message((_sized(b"5000"), *(b" ", 0.05) * 12), 408, "slow_body"),
    "a body that was not waited for": Message(
        (request(b"", b"Expect: 100-continue", b"Content-Length: 500"),), 408, "slow_body"
    ),
    "a body that is longer than said": _raw(_sized(b"10"), code="malformed"),
    "a body on a get": _raw(
        request(GOOD, b"Content-Length: %d" % len(GOOD), path=b"/livez", method=b"GET"),
        status=200,
        code="",
    ),
}

INFERENCES = {
    "no body": _raw(request(b"", path=INFER), code="malformed"),
    "nothing in it": _raw(request(b"{}", path=INFER), status=422, code="contract"),
    "a key twice": _raw(
        request(VECTOR[:-1] + b',"id":"a","id":"b"}', path=INFER), code="duplicate_key"
    ),
    "deep": _raw(request(b'{"inputs":' + b"[" * 50_000, path=INFER), code="malformed"),
    "NaN": _raw(request(VECTOR.replace(b"1,2", b"NaN,2"), path=INFER), code="malformed"),
    "1e999": _raw(request(VECTOR.replace(b"1,2", b"1e999,2"), path=INFER), code="malformed"),
    "digits": _raw(
        request(VECTOR.replace(b"1,2", b"9" * 400 + b",2"), path=INFER), status=422, code="contract"
    ),
    "text": _raw(
        request(VECTOR.replace(b"1,2", b'"mark4111",2'), path=INFER), status=422, code="contract"
    ),
    "a huge shape": _raw(
        request(VECTOR.replace(b"[1,5]", b"[9999999999999,9999999999999]"), path=INFER),
        status=422,
        code="contract",
    ),
    "a shape beyond 64 bits": _raw(
        request(VECTOR.replace(b"[1,5]", b"[%d,5]" % 10**30), path=INFER),
        status=422,
        code="contract",
    ),
    "an unknown datatype": _raw(
        request(VECTOR.replace(b"FP32", b"mark4111"), path=INFER), status=422, code="contract"
    ),
    "an unknown name": _raw(
        request(VECTOR.replace(b"vector", b"mark4111"), path=INFER), status=422, code="contract"
    ),
    "a long id": _raw(
        request(VECTOR[:-1] + b',"id":"%b"}' % (b"mark4111" * 100), path=INFER),
        status=422,
        code="contract",
    ),
    "a negative header length": _raw(
        request(VECTOR, b"Inference-Header-Content-Length: -1", path=INFER),
        status=422,
        code="contract",
    ),
    "a header length beyond the body": _raw(
        request(VECTOR, b"Inference-Header-Content-Length: 999999", path=INFER),
        status=422,
        code="contract",
    ),
    "a header length of bytes": _raw(
        request(VECTOR, b"Inference-Header-Content-Length: \xff", path=INFER),
        status=422,
        code="contract",
    ),
    "two header lengths": _raw(
        request(VECTOR, *[b"Inference-Header-Content-Length: %d" % len(VECTOR)] * 2, path=INFER),
        status=422,
        code="contract",
    ),
    "half a header": _raw(
        request(VECTOR, b"Inference-Header-Content-Length: 9", path=INFER), code="malformed"
    ),
    "bytes of chance": _raw(
        request(
            random.Random(3).randbytes(2_000), b"Content-Type: application/octet-stream", path=INFER
        ),
        code="malformed",
    ),
    "an unknown model": _raw(
        request(VECTOR, path=b"/v2/models/mark4111/infer"), status=404, code="unknown_use_case"
    ),
    "an unknown version": _raw(
        request(VECTOR, path=b"/v2/models/toy/versions/mark4111/infer"),
        status=404,
        code="unknown_version",
    ),
}

MESSAGES = {
    f"{kind}: {name}": message
    for kind, messages in (
        ("line", LINES),
        ("header", HEADERS),
        ("frame", FRAMES),
        ("inference", INFERENCES),
    )
    for name, message in messages.items()
}
