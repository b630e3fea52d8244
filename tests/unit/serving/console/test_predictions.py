"""Predictions by their ids: the passport in the console, its replay, and who may see them."""

import asyncio

import pytest
from access_keys import made_key
from bundles import REQUEST, serve
from console_home import Console
from engines import Bench

from core.clock import SystemClock
from serving.records.logs import RecordLogs
from serving.settings import RecordSettings
from stores.keys.access_keys import AccessKeyFile
from stores.layout import Layout
from stores.records.frames import framed


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A home, and the id of a prediction in it that nobody asked to explain."""
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    bench = Bench(layout)
    asyncio.run(bench.engine.predict("toy", REQUEST))
    serve(layout, 1, counter=1)
    logs = RecordLogs(layout, SystemClock(), RecordSettings())
    (record_id,) = logs.append_frames("toy", framed(bench.records.payloads[:1]))
    logs.close()
    return layout, record_id


def test_a_search_leads_to_the_passport_and_the_passport_to_its_release(kept):
    layout, record_id = kept
    console = Console(layout)
    found = console.get(f"/predictions?id=%20{record_id}%20")
    assert (found.status, found.headers["location"]) == (303, f"/predictions/{record_id}")
    passport = console.get(found.headers["location"])
    assert passport.status == 200
    assert record_id in passport.words
    assert "/releases/toy/1" in passport.links
    assert console.get("/predictions").status == 200


def test_a_passport_is_explained_and_computed_again_where_that_is_asked_for(kept):
    layout, record_id = kept
    console = Console(layout)
    assert "No explanation was asked for. Explain it now" in console.get(
        f"/predictions/{record_id}"
    ).words.replace(" .", ".")
    explained = console.get(f"/predictions/{record_id}?explain=true")
    assert "exact contributions" in explained.words
    replay = console.get(f"/predictions/{record_id}/replay")
    assert "equal" in replay.words
    assert "Computed again" in replay.words


@pytest.mark.parametrize("given", ["nothing", "toy-00000000-1-1", "../../etc/passwd", "<b>"])
def test_an_id_of_nothing_is_a_page_that_says_so(kept, given):
    layout, _ = kept
    console = Console(layout)
    found = console.get("/predictions?id=" + given.replace("/", "%2F"))
    reply = console.get(found.headers["location"])
    assert reply.status == 404
    assert "<b>" not in reply.text


def test_a_passport_takes_a_key_of_its_use_case_and_its_explanation_one_more_scope(kept):
    layout, record_id = kept
    other = made_key(layout, ["other:passports"])
    try:
        reads = made_key(layout, ["toy:passports"])
        console = Console(layout)
        assert console.get(f"/predictions/{record_id}", other).status == 403
        reply = console.get(f"/predictions/{record_id}", reads)
        assert reply.status == 200
        assert "A key that opens explain can ask for one" in reply.words
        assert console.get(f"/predictions/{record_id}?explain=true").status == 403
        console.application.look()
        (*_, refused) = AccessKeyFile(layout.access).audit.latest(9, hints=("access_refused",))
        assert [each["why"] for each in refused.about["refusals"]] == ["passports", "explain"]
        assert console.get("/releases").status == 403
        assert "/releases" not in reply.links  # the navigation has what the key opens
    finally:
        (layout.access / "keys.json").unlink()
