"""A release that reads the next version of a view takes over, and gives way again."""

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import folder, service
from payments import payment
from versions import NEXT_PLAN

from core.clock import SystemClock
from stores.layout import Layout

pytestmark = pytest.mark.slow


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    shelve(layout)
    shelve(layout, plan=NEXT_PLAN)
    serve(layout, 1, counter=1)
    return layout


class Asking:
    """Pushes payments and reads how many of the last day the model is given, by which view."""

    def __init__(self, url):
        self.url = url
        self.sent = 0

    def push(self):
        event = payment(f"e{self.sent}", SystemClock().now_ms() - 1_000)
        self.sent += 1
        assert httpx.post(f"{self.url}/v1/events/payments", json=event).status_code == 200

    def counted(self):
        answer = httpx.post(f"{self.url}/v1/toy/predictions", json=REQUEST, timeout=60).json()
        record = httpx.get(f"{self.url}/v1/predictions/{answer['prediction_id']}").json()
        views = record["features"]
        (name,) = [view for view in views if view.startswith("card_activity")]
        count = views[name]["values"]["amount_minor_count_1d"]
        return record["model"]["release"], name, count


def test_a_switch_and_a_rollback_bring_their_version_with_all_that_happened_meanwhile(layout):
    with service(layout) as started, folder(layout) as folding:
        asking = Asking(started.url)
        asking.push()
        folding.wait_until(lambda: asking.counted() == (1, "card_activity_v1", 1.0))
        serve(layout, 2, counter=2)
        folding.wait_until(lambda: asking.counted() == (2, "card_activity_v2", 1.0))
        asking.push()
        folding.wait_until(lambda: asking.counted() == (2, "card_activity_v2", 2.0))
        serve(layout, 1, counter=3)
        folding.wait_until(lambda: asking.counted() == (1, "card_activity_v1", 2.0))
