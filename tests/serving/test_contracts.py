"""Two majors over HTTP: who says what is answered by which, and told until when."""

from __future__ import annotations

import httpx
import pytest
from bundles import CONTRACT, REQUEST, shelve
from desks import Desk
from grown_payments import GROWN, WAS
from online_processes import service
from payments import NOW_MS, payment

from stores.layout import Layout

pytestmark = pytest.mark.slow  # a service of its own
SMALL = CONTRACT.inputs[0].model_copy(update={"maximum": 500})
FOR_LONG = WAS.model_copy(update={"until": "2400-01-01"})
GROWN_FOR_LONG = GROWN.model_copy(update={"former": (FOR_LONG,)})
GROWN_CONTRACT = CONTRACT.model_copy(update={"sources": (GROWN_FOR_LONG, *CONTRACT.sources[1:])})
NEW_STYLE = {**REQUEST, "inputs": {"amount_minor": 400}}


def test_both_are_answered_until_the_day_of_the_older_one(tmp_path):
    layout = Layout(tmp_path).create()
    desk = Desk(layout)
    for name, days in (("toy", 3_650), ("over", 1)):  # by the desk's clock, which is behind
        first = CONTRACT if name == "toy" else GROWN_CONTRACT
        changes = {"version": "2.0", "inputs": (SMALL,), "keeps_previous_days": days}
        for contract in (first, GROWN_CONTRACT.model_copy(update=changes)):
            release = shelve(layout, use_case=name, contract=contract)
            assert desk.ask("promote", release, use_case=name).is_accepted
    with service(layout) as started, httpx.Client(base_url=started.url) as client:

        def ask(body, said=None, name="toy", path="predictions"):
            headers = {"throughline-contract": said} if said else {}
            return client.post(f"/v1/{name}/{path}", json=body, headers=headers)

        older = ask(REQUEST)
        assert older.json()["model"]["channel"] == "contract_1"
        assert older.headers["throughline-contract"] == "1.0"
        assert older.headers["deprecation"].startswith("@17")
        assert older.headers["sunset"].endswith("GMT")
        record = client.get(f"/v1/predictions/{older.json()['prediction_id']}").json()
        assert record["model"]["channel"] == "contract_1"
        assert client.get(f"/v1/predictions/{record['prediction_id']}/replay").json()["is_equal"]
        newer = ask({"points": [NEW_STYLE]}, "2", path="predictions:batch")
        assert newer.json()["predictions"][0]["model"]["channel"] == "champion"
        assert not {"sunset", "deprecation", "throughline-contract"} & newer.headers.keys()
        assert ask(REQUEST, "2").json()["code"] == "contract"
        over = ask(REQUEST, name="over")
        assert (over.status_code, over.json()["code"]) == (410, "contract_ended")
        assert ask(NEW_STYLE, "7").json()["code"] == "unknown_contract"
        for said, body in ((None, payment("e1", NOW_MS)), ("2", payment("e2", NOW_MS, way="web"))):
            told = {"throughline-contract": said} if said else {}
            taken = client.post("/v1/events/payments", json=body, headers=told)
            assert taken.json()["accepted"] == 1
            assert taken.headers.get("throughline-contract") == (None if said else "1.0")
            assert ("sunset" in taken.headers, "deprecation" in taken.headers) == (not said,) * 2
        assert client.get("/readyz").json()["serving"]["toy"]["contract_1"] == 1
        metrics = client.get("/metrics").text
        assert 'throughline_contract_requests_total{contract="1",use_case="toy"} 1.0' in metrics
        assert 'throughline_contract_requests_total{contract="2",use_case="toy"} 2.0' in metrics
