"""Evidently's drift report over all columns, by one method; prints one JSON object.

``python evidently_drift.py METHOD FOLDER`` in an environment that holds Evidently. The frames
are in memory before the clock starts, and nothing is rendered.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    method, folder = sys.argv[1], Path(sys.argv[2])
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset
    from scipy.stats import ks_2samp

    reference, current = (
        pd.read_parquet(folder / f"{side}.parquet") for side in ("reference", "current")
    )
    started, cpu_started = time.perf_counter(), time.process_time()
    report = Report([DataDriftPreset(num_method=method)])
    run = report.run(Dataset.from_pandas(current), Dataset.from_pandas(reference))
    found = run.dict()
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    values = {
        metric["config"]["column"]: float(metric["value"])
        for metric in found["metrics"]
        if "column" in metric.get("config", {})
    }
    result = {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "profile": f"{method}, frames in memory",
        "values": values,
    }
    if method == "ks":  # the report keeps the chance only
        result["exact"] = {
            name: float(ks_2samp(reference[name], current[name]).statistic) for name in reference
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
