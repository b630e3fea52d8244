"""A home backed up under traffic and put back elsewhere answers as the first one did."""

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import folder, service
from payments import payment

from core.clock import SystemClock
from orchestration import cli
from stores.audit.log import AuditLog
from stores.backups import backups_in
from stores.layout import Layout
from stores.monitoring.measured import measured_until

pytestmark = pytest.mark.slow


def asked(started):
    """A record of the request: what was decided, and from which values."""
    with httpx.Client(base_url=started.url, timeout=60) as client:
        record_id = client.post("/v1/toy/predictions", json=REQUEST).json()["prediction_id"]
        return client.get(f"/v1/predictions/{record_id}").json()


def count_of(record):
    return record["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"]


def test_a_restored_home_gives_the_same_score_and_replays_what_was_decided(tmp_path, capsys):
    home, kept, back = tmp_path / "home", tmp_path / "kept", tmp_path / "back"
    layout = Layout(home).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout) as started, folder(layout) as folding:
        event = payment("e1", SystemClock().now_ms() - 1_000)
        assert httpx.post(f"{started.url}/v1/events/payments", json=event).status_code == 200
        before = folding.wait_until(lambda: (r := asked(started)) and count_of(r) == 1.0 and r)
        assert cli.main(["backup", str(kept), "--home", str(home)]) == 0
        first = httpx.get(f"{started.url}/readyz").json()["serving"]
    asked_before = measured_until(layout, SystemClock().now_ms())["toy"]
    assert asked_before.n_asked == asked_before.n_timed > 0  # left when the service ended
    (backup,) = backups_in(kept)
    assert cli.main(["backup", str(kept), "--verify"]) == 0
    assert cli.main(["restore", str(backup), "--home", str(back), "--who", "Ada"]) == 0
    assert f"throughline up --home {back}" in capsys.readouterr().out
    restored = Layout(back)
    with service(restored) as started, folder(restored):
        after = asked(started)
        replayed = f"{started.url}/v1/predictions/{before['prediction_id']}/replay"
        assert httpx.get(replayed).json()["is_equal"]
        assert httpx.get(f"{started.url}/readyz").json()["serving"] == first
    assert count_of(after) == 1.0
    assert (after["score"], after["decision"]) == (before["score"], before["decision"])
    entries = AuditLog.of(restored, is_signing=False).latest(10)
    assert [entry.who for entry in entries if entry.what == "home_restored"] == ["Ada"]


def test_commands_say_what_is_not_there(tmp_path, capsys):
    empty = str(tmp_path / "kept")
    assert cli.main(["backup", empty, "--list"]) == 3
    assert cli.main(["backup", empty, "--home", str(tmp_path / "none")]) == 3
    assert cli.main(["restore", empty, "--home", str(tmp_path / "back")]) == 2
    said = capsys.readouterr().err
    assert "there is no backup" in said
    assert "there is nothing to back up" in said
    assert "this is no backup" in said
