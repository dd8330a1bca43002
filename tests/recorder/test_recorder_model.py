"""The folder against a plain list, through crashes, restarts and seals: nothing lost, nothing twice."""

import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.clock import ManualClock
from heliograph.recorder import BridgeTelemetry
from tests.conftest import NEW_YEAR_NS

NAMES = st.sampled_from(["m", "n"])
VALUES = st.one_of(st.integers(-5, 5), st.sampled_from(["text", "word"]))
POINTS = st.tuples(NAMES, VALUES, st.sampled_from([None, {"k": "a"}]), st.integers(0, 6))
STEPS = st.one_of(
    st.tuples(st.just("record"), POINTS),
    st.tuples(st.just("batch"), st.lists(POINTS, max_size=5)),
    st.tuples(st.sampled_from(["crash", "restart", "tend", "ask"]), st.none()),
)
LATER = "2100-01-01T00:00:00"


def opened(folder, clock):
    return BridgeTelemetry(
        {
            "logger_config": {"enable_console": False, "log_path": folder / "journal"},
            "storage_config": {"backend": "timeseries_db", "connection_string": str(folder)},
        },
        clock=clock,
    )


def told(recorder):
    found = {}
    for name, one in recorder.get_metrics(None, (0, LATER), "SUM", by=["k"])["metrics"].items():
        for group in one["groups"]:
            found[name, group["by"]["k"]] = (
                group["value"] or 0,
                group["sample_count"],
                group.get("skipped", 0),
            )
    return found


def expected(points):
    held = defaultdict(Counter)
    for name, value, context, _ in points:
        one = held[name, (context or {}).get("k", "")]
        one["count"] += 1
        one["texts"] += isinstance(value, str)
        one["sum"] += 0 if isinstance(value, str) else value
    return {key: (one["sum"], one["count"], one["texts"]) for key, one in held.items()}


@settings(max_examples=15)
@given(st.lists(STEPS, max_size=12))
def test_the_folder_has_what_was_answered(steps):
    root = Path(tempfile.mkdtemp())
    clock = ManualClock(NEW_YEAR_NS)
    recorder, left, points = opened(root / "0", clock), [], []
    try:
        for number, (step, given_) in enumerate(steps):
            if step == "record":
                assert recorder.record_metric(*given_)["status"] == "success"
                points.append(given_)
            elif step == "batch":
                assert recorder.record_metrics(given_)["recorded"] == len(given_)
                points += given_
            elif step == "tend":
                recorder.storage._stores.tend(closing=True)
            elif step == "restart":
                recorder.close()
                recorder = opened(
                    Path(recorder.config["storage_config"]["connection_string"]), clock
                )
            elif step == "crash":
                # What a kill leaves is what is on disk now.
                here = Path(recorder.config["storage_config"]["connection_string"])
                with recorder.storage._stores._tending:
                    there = shutil.copytree(here, root / f"crash{number}")
                left.append(recorder)
                recorder = opened(there, clock)
            assert told(recorder) == expected(points)
    finally:
        for one in (*left, recorder):
            one.close()
        shutil.rmtree(root)
