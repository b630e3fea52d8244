"""Every code that a problem can have, with its status and when it is given.

A caller programs by these, so a code keeps its meaning; a test holds that none is missing here.
"""

from __future__ import annotations

from typing import NamedTuple

from serving.ports import Json


class Known(NamedTuple):
    """Status of a code, when it is given, and whether the same request may succeed later."""

    status: int
    when: str
    is_retryable: bool = False


PROBLEMS: dict[str, Known] = {
    "malformed_request": Known(400, "The bytes on the connection are not HTTP/1.1 as it is taken."),
    "malformed": Known(400, "The body is not strict JSON, or the message not what the call takes."),
    "duplicate_key": Known(400, "An object in the body has a key twice."),
    "several_keys": Known(400, "More than one key came where one is asked for."),
    "unreadable_timeout": Known(
        400, "The header x-request-timeout-ms came twice, or holds no positive whole number."
    ),
    "no_key": Known(401, "No key came where one is asked for."),
    "unknown_key": Known(401, "The key is not known, has expired or was revoked."),
    "not_in_scope": Known(403, "The key is good and does not open this."),
    "not_found": Known(404, "There is no such path."),
    "unknown_use_case": Known(404, "No use case of that name is served."),
    "unknown_version": Known(404, "That release of the model is not in memory."),
    "unknown_contract": Known(404, "No release answers the contract that the request speaks."),
    "unknown_source": Known(404, "No served use case reads a source of that name."),
    "unknown_record": Known(404, "There is no record of that id here, or no longer."),
    "release_not_here": Known(404, "The release that decided is not on the shelf any more."),
    "method_not_allowed": Known(405, "The path does not take that method."),
    "slow_headers": Known(
        408, "The head of the request did not arrive in time.", is_retryable=True
    ),
    "slow_body": Known(408, "The body did not arrive in time.", is_retryable=True),
    "duplicate_conflict": Known(409, "Another event with that id was taken before."),
    "contract_ended": Known(410, "The contract that the request speaks was followed by another."),
    "too_large": Known(413, "The body has more bytes, or a list in it more items, than are taken."),
    "over_burst": Known(413, "The list has more points than the key may ever spend at once."),
    "unsupported_media_type": Known(415, "The body's type or encoding is not taken."),
    "contract": Known(422, "Fields break the contract; `errors` lists where."),
    "at_too_old": Known(
        422, "The instant lies before what is kept online; `detail` says by how much."
    ),
    "rate_limited": Known(
        429, "The key asks for more points a second than it may.", is_retryable=True
    ),
    "quota_used": Known(429, "The key has had its points of the day.", is_retryable=True),
    "events_waiting": Known(429, "Too many events wait to be written.", is_retryable=True),
    "model_busy": Known(429, "Too many rows wait for the model.", is_retryable=True),
    "headers_too_large": Known(431, "Address and headers have more bytes than are taken."),
    "internal": Known(
        500, "An error that nobody foresaw; what it was stands in the log.", is_retryable=True
    ),
    "integrity": Known(500, "What is kept here is damaged or does not fit together."),
    "score_not_finite": Known(500, "The model answered what is no score."),
    "damaged_record": Known(500, "The record cannot be read."),
    "damaged_segment": Known(500, "The file that holds the record cannot be read."),
    "another_manifest": Known(500, "The release on the shelf is not the one that decided."),
    "release_unusable": Known(500, "The release that decided cannot be loaded any more."),
    "not_ready": Known(503, "What was asked for does not exist yet.", is_retryable=True),
    "busy": Known(503, "There is more work here than room for it.", is_retryable=True),
    "late": Known(
        503, "The answer would come later than the caller waits for it.", is_retryable=True
    ),
    "model_slow": Known(
        503, "The model did not answer in time, or is left alone for that.", is_retryable=True
    ),
    "too_many_connections": Known(
        503, "More connections are open than are taken.", is_retryable=True
    ),
    "dependency": Known(503, "Something that this rests on does not answer.", is_retryable=True),
    "record_not_kept": Known(
        503, "The record cannot be kept, so no answer leaves.", is_retryable=True
    ),
    "log_unwritable": Known(503, "The event log cannot be written.", is_retryable=True),
    "events_elsewhere": Known(
        503, "Another replica of the service takes events.", is_retryable=True
    ),
    "kafka_unavailable": Known(
        503, "The brokers that hold the event log do not take events.", is_retryable=True
    ),
}

FAULTS: dict[str, str] = {
    "malformed": "No object, or no list, where one is asked for.",
    "unknown_field": "A name that is not declared.",
    "missing_field": "A declared field is not there.",
    "null_field": "A field is null or empty that may not be.",
    "wrong_type": "Another type, or text that means none of that type.",
    "out_of_range": "Below the declared minimum, or above the maximum.",
    "not_finite": "NaN or an infinity.",
    "too_long": "More characters than are declared.",
    "pattern": "Not of the declared pattern.",
    "not_allowed": "Not one of the declared values.",
    "at_out_of_range": "Too far from the instant of receipt.",
    "future_event": "An event dated more than 5 minutes ahead.",
    "duplicate_conflict": "Another event with that id was taken before.",
    "unknown_contract": "A kept event of a contract that is not declared any more.",
    "duplicate_field": "A tensor that comes twice.",
    "wrong_shape": "A tensor of another shape.",
    "wrong_size": "Fewer or more values, or bytes, than were said.",
    "not_offered": "Something of the protocol that no model here does.",
}
"""Codes of single fields in ``errors``, and when each is given."""

ALWAYS = ("malformed_request", "slow_headers", "headers_too_large", "too_many_connections",
          "internal")  # fmt: skip
KEY = ("several_keys", "no_key", "unknown_key", "not_in_scope", "rate_limited", "quota_used")
BODY = (
    "malformed",
    "duplicate_key",
    "slow_body",
    "too_large",
    "unsupported_media_type",
    "contract",
)
POINTS = ("unreadable_timeout", "over_burst", "unknown_use_case", "score_not_finite", "model_busy",
          "model_slow", "busy", "late")  # fmt: skip
PREDICTION = (*BODY, *KEY, *POINTS, "unknown_contract", "contract_ended", "not_ready",
              "at_too_old", "record_not_kept", "dependency")  # fmt: skip
EVENT = (*BODY, *KEY, "over_burst", "unknown_source", "unknown_contract", "contract_ended",
         "duplicate_conflict", "events_waiting", "dependency", "log_unwritable",
         "kafka_unavailable", "events_elsewhere", "busy")  # fmt: skip
RECORD = (*KEY, "unknown_record", "damaged_record", "damaged_segment", "busy")
REPLAY = (*RECORD, "release_not_here", "release_unusable", "another_manifest", "integrity")
ROLLOUT = (*KEY, "unknown_use_case", "integrity", "busy")
INFERENCE = (*BODY, *KEY, *POINTS, "unknown_version")
MODEL = (*KEY, "unknown_use_case", "unknown_version")


def example_of(code: str) -> Json:
    """A problem as it is sent, by its code."""
    known = PROBLEMS[code]
    problem: Json = {
        "type": f"urn:throughline:problem:{code}",
        "status": known.status,
        "code": code,
        "title": known.when,
        "retryable": known.is_retryable,
    }
    if code == "contract":
        fault = {"pointer": "/inputs", "code": "missing_field", "message": "must be there"}
        problem["errors"] = [fault]
    return problem


def responses_of(codes: tuple[str, ...]) -> Json:
    """Answers of an operation that can refuse with these codes, and what every one can."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, *ALWAYS)):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {str(status): _response(status, by_status[status]) for status in sorted(by_status)}


def _response(status: int, codes: list[str]) -> Json:
    described = "; ".join(f"`{code}`: {PROBLEMS[code].when.rstrip('.')}" for code in codes) + "."
    headers = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return {
        "description": described,
        "headers": TRACED | (headers if status in (429, 503) else {}),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


TRACED: Json = {
    name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", "traceparent")
}
HEADERS: Json = {
    "X-Request-ID": {
        "description": "The id that the request came with (up to 128 letters, digits and "
        "`._:/+=-`), else a fresh one.",
        "schema": {"type": "string", "examples": ["order-17"]},
    },
    "traceparent": {
        "description": "The request's span in the trace that it came with (W3C); left out where "
        "it came with none. A `tracestate` comes back as it was sent.",
        "schema": {
            "type": "string",
            "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        },
    },
    "Retry-After": {
        "description": "Seconds after which to come back.",
        "schema": {"type": "integer", "examples": [1]},
    },
}
