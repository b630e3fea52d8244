"""The network of fraud served from its bundle; tests/gpu does the same where a GPU is."""

from __future__ import annotations

import httpx
import pytest
from fraud_network import scored, serve_fraud_network
from online_processes import service

from stores.layout import Layout

pytestmark = pytest.mark.slow


def test_the_fraud_network_is_served_and_scores_as_its_file_does(tmp_path):
    layout = Layout(tmp_path / "home").create()
    model = serve_fraud_network(layout)
    with service(layout) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        score, vector = scored(client)
    assert score == pytest.approx(float(model.score(vector)[0]), abs=1e-7)
