"""What the processes of the online side import, seen in fresh interpreters."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from bundles import REQUEST, serve, shelve

from stores.layout import Layout

ROOT = Path(__file__).parents[3]
HEAVY = (
    "feast",
    "mlflow",
    "pandas",
    "pyspark",
    "dagster",
    "numba",
    "xgboost",
    "sklearn",
    "scipy",
    "deltalake",
    "confluent_kafka",  # but where a log is over brokers
    "orchestration",
    "assets",
    "training",
    "feature_store",
    "spark_jobs",
)


def modules_after(program, *arguments):
    tail = "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    code = textwrap.dedent(program) + tail
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


ANSWERING = """
    import asyncio, json, sys
    from pathlib import Path
    import httpx
    from serving.application import Service
    from serving.settings import Settings
    from core.clock import SystemClock

    async def answer():
        app = Service(Settings(home=Path(sys.argv[1])), SystemClock(), print).app
        transport = httpx.ASGITransport(app=app)
        async with app.app.router.lifespan_context(app.app):
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                async with asyncio.timeout(60):  # a busy machine loads what is served slowly
                    while (await client.get("/readyz")).status_code != 200:
                        await asyncio.sleep(0.05)
                request = json.loads(sys.argv[2])
                answer = await client.post("/v1/toy/predictions", json=request)
                assert answer.status_code == 200, answer.text
                record_id = answer.json()["prediction_id"]
                replay = await client.get(f"/v1/predictions/{record_id}/replay")
                assert replay.json()["is_equal"], replay.text
                explained = await client.get(f"/v1/predictions/{record_id}?explain=true")
                assert explained.json()["explanation"]["status"] == "exact", explained.text
                event = {"event_id": "e1", "event_timestamp": 0, "card_id": "c1",
                         "terminal_id": "t1", "amount_minor": 5}
                taken = await client.post("/v1/events/payments", json=[event])
                assert taken.json()["accepted"] == 1, taken.text
                assert "jinja2" not in sys.modules  # a page is the first to need it
                for path in ("/openapi.json", "/docs", "/metrics", "/readyz"):
                    assert (await client.get(path)).status_code == 200, path
                # redis-py imports OpenTelemetry's SDK where it is installed; we send nothing.
                assert "opentelemetry.exporter" not in sys.modules

    asyncio.run(answer())
"""


def test_the_service_answers_everything_without_the_batch_side(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    modules = modules_after(ANSWERING, str(tmp_path), json.dumps(REQUEST))
    assert "onnxruntime" in modules
    assert modules.isdisjoint(HEAVY)
    assert "grpc" not in modules  # only where it is asked for: it takes a tenth of a second


def test_the_processes_beside_it_are_as_light():
    modules = modules_after("import serving.folder, serving.controller, serving.explainer")
    assert modules.isdisjoint(HEAVY)
    assert modules.isdisjoint({"fastapi", "uvicorn", "onnxruntime"})


def test_the_console_is_light_until_a_page_needs_more():
    modules = modules_after("from serving.console.main import pages; list(pages())")
    assert modules.isdisjoint({*HEAVY, "fastapi", "onnxruntime", "markdown_it", "pyarrow"})


def test_the_engine_knows_no_transport_no_runtime_and_no_store():
    modules = modules_after(
        "import serving.engine.engine, serving.records.passports, serving.events.events"
    )
    assert modules.isdisjoint(
        {"fastapi", "starlette", "uvicorn", "onnxruntime", "redis", "sqlite3", "prometheus_client"}
    )
