"""Whole records of both versions: one as it was kept before numbers were packed, one packed."""

import base64
import json
import math
import struct

import pytest

from core.packed_records import PACKED, STATUSES, named_numbers, printed, whole_record

KEPT_BEFORE = b"""\
{"version":3,"use_case":"toy","masked":[],"model":{"name":"toy","version":"0d9c7dfbf1b0","releas\
e":1,"channel":"champion","kind":"logistic","manifest_digest":"0d9c7dfbf1b0","plan_digest":"cd05\
b829dc5b"},"policy_digest":"c3ed0e533177","policy":{"rules":[{"decision":"BLOCK","above":0.9,"re\
ason":"very_likely"}],"default":"APPROVE","default_reason":"no_sign"},"received_at_ms":176722560\
0000,"at_ms":1767225600000,"event_id":null,"rollout":null,"entities":{"card_id":"c1","terminal_i\
d":"t1"},"inputs":{"amount_minor":1250},"features":{"card_activity_v1":{"status":"PRESENT","age_\
ms":7,"seen_position":4294967295,"values":{"amount_minor_count_1d":0.0,"amount_minor_mean_30d":n\
ull}},"card_state_v1":{"status":"missing","age_ms":null,"seen_position":null,"values":{"limit_mi\
nor":null}}},"transforms":{"payment_v1:amount":1250.0,"payment_v1:is_night":1.0},"vector":[1250.\
0,null,0.10000000149011612],"score":0.029312193393707275,"decision":"APPROVE","reason":"no_sign"\
,"rule":null,"explanation":null,"degraded":null,"timings_ms":{"validate":0.0,"read":0.125},"requ\
est_id":"r1","traceparent":null}"""
FIXED = ("use_case", "masked", "model", "policy_digest", "policy")
OWN = ("received_at_ms", "at_ms", "entities", "inputs", "decision", "reason", "timings_ms")
SCORE = 0.029312193393707275


def packed(score=SCORE, drop=(), numbers=None):
    """The record above as packed ones are, members that are null left out."""
    whole = json.loads(KEPT_BEFORE)
    views = {name: [*view["values"]] for name, view in whole["features"].items()}
    doubles = (0.0, math.nan, math.inf, 1250.0, 1.0, score)
    statuses = [STATUSES.index(name) for name in ("PRESENT", "missing")]
    told = struct.pack("<6d4q2B3f", *doubles, 7, -1, 2**32 - 1, -1, *statuses, 1250, math.nan, 0.1)
    members = {
        "version": PACKED,
        **{name: whole[name] for name in (*FIXED, *OWN, "request_id")},
        **named_numbers(views, [*whole["transforms"]]),
        "numbers": base64.urlsafe_b64encode(told if numbers is None else numbers).decode(),
    }
    return json.dumps({name: each for name, each in members.items() if name not in drop})


def test_a_record_that_was_kept_before_reads_as_it_did():
    assert whole_record(KEPT_BEFORE) == json.loads(KEPT_BEFORE)


def test_a_packed_record_is_the_same_record_member_by_member():
    found = whole_record(packed())
    assert found == json.loads(KEPT_BEFORE)
    assert [*found] == [*json.loads(KEPT_BEFORE)]
    assert printed(found).encode() == KEPT_BEFORE


def test_a_record_without_a_score_has_none():
    assert whole_record(packed(score=math.nan))["score"] is None


@pytest.mark.parametrize(
    "payload",
    [
        "\xff",
        "[]",
        '{"version":4}',
        *(packed(drop=(name,)) for name in ("views", "outputs", "numbers", "policy")),
        packed(numbers=b""),
        packed(numbers=bytes(6 * 8 + 4 * 8 + 2 + 3)),
        packed(numbers=struct.pack("<6d4q2B", *[0.0] * 6, *[0] * 4, 0, len(STATUSES))),
    ],
)
def test_what_is_no_record_is_refused(payload):
    with pytest.raises(ValueError, match=r"record|JSON|Expecting"):
        whole_record(payload)


def test_statuses_keep_their_places_for_records_on_disks_hold_them():
    assert STATUSES[:8] == (
        *("PRESENT", "NOT_FOUND", "fresh", "stale", "missing"),
        *("unavailable", "expired", "withheld"),
    )
