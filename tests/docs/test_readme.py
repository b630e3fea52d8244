"""The commands of the README do what it says: asked of a real service, as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bundles import bundle_files, serve, shelve
from online_processes import service

from feature_store.plans import plan_for
from orchestration import cli
from stores.layout import Layout
from training.contract import contract_of
from use_cases import discover

USE_CASE = discover()["fraud"]
ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
MADE = [line for line in LINES if line.startswith("make ")]
SAID = [line for line in LINES if line.startswith("throughline ")]
STARTS = {
    "make demo": "throughline demo",
    "make demo-loop": "throughline demo --loop",
    "make up": "throughline up",
    "make test": "pytest",
}


def test_every_line_is_a_target_or_a_command():
    assert sorted(MADE + SAID) == sorted(LINES)
    assert set(MADE) == set(STARTS)
    assert [shlex.split(line)[1] for line in SAID] == ["predict", "why", "replay"]


@pytest.mark.parametrize("line", MADE)
def test_a_target_starts_what_the_readme_says_of_it(line):
    words = [*shlex.split(line), "--dry-run"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "infra/bootstrap.sh" in done.stdout
    assert STARTS[line] in done.stdout


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    """A home whose fraud release weighs every declared feature a little."""
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    plan = plan_for(USE_CASE, layout, is_kept=False)
    weights = np.linspace(-0.001, 0.001, len(plan.vector)).tolist()
    release = shelve(
        layout,
        use_case=USE_CASE.name,
        plan=plan,
        decisions=USE_CASE.decisions,
        contract=contract_of(USE_CASE, plan),
        files=bundle_files(weights=weights, features=plan.vector),
    )
    serve(layout, release, counter=1, use_case=USE_CASE.name)
    return layout


@pytest.mark.slow
def test_a_decision_is_asked_for_explained_and_replayed(layout, capsys, monkeypatch):
    # Feast's import turns the metrics of every process that inherits its variables to files.
    ours, feasts = "throughline_", "prometheus_multiproc_dir"
    for name in [name for name in os.environ if name.lower().startswith((ours, feasts))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("THROUGHLINE_HOME", str(layout.root))
    said = []
    with service(layout) as started:
        monkeypatch.setenv("THROUGHLINE_HTTP__PORT", started.url.rpartition(":")[2])
        record_id = "PREDICTION_ID"
        for line in SAID:
            words = shlex.split(line.replace("PREDICTION_ID", record_id))[1:]
            assert cli.main(words) == 0, capsys.readouterr().err
            said.append(capsys.readouterr().out)
            record_id = re.findall(r"fraud-[\w-]+", said[0])[0]
    asked, explained, replayed = said
    assert asked.split()[0] in USE_CASE.decisions.decisions
    assert "by fraud release 1, champion" in asked
    assert "payment_v1:amount" in asked
    assert "amount_minor 1250" in explained
    assert "what pushed the score" in explained
    assert replayed.startswith("equal: ")
