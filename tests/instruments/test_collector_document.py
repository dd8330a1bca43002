"""The document's own code runs with the import root changed, and its names are where it has them."""

import asyncio
import re
import sys
import textwrap
import time

import pytest

from heliograph import instruments
from heliograph.instruments import collector, exporter, metrics
from tests.conftest import SHARED_DATA

ROOT = "utilityfog_frontend.telemetry"
DOCUMENT = next((SHARED_DATA.parent / "spec").glob("004_*.txt"), None)
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text() if DOCUMENT else "", re.DOTALL)


@pytest.fixture
def root(monkeypatch):
    """The package under the name its users have written into their programs."""
    monkeypatch.setitem(sys.modules, "utilityfog_frontend", type(sys)("utilityfog_frontend"))
    monkeypatch.setitem(sys.modules, ROOT, instruments)
    for module in (collector, exporter, metrics):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setitem(sys.modules, f"{ROOT}.{name}", module)


def names(folder):
    home = instruments.TelemetryCollector(collection_interval=0.01)
    made = {
        "collector": home,
        "counter": home.register_counter("counter_total"),
        "gauge": home.register_gauge("gauge"),
        "histogram": home.register_histogram("histogram"),
        "time": time,
    }
    return made | vars(exporter)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_of_the_document_runs(block, root, tmp_path):
    text = re.sub(r'"/(?:tmp|var/metrics)/', f'"{tmp_path}/', block)
    program = f"async def main():\n{textwrap.indent(text, '    ')}\n    return locals()"
    namespace = names(tmp_path)
    exec(program, namespace)

    async def go():
        local = namespace | await namespace["main"]()
        if "periodic_exporter" in local:
            await local["periodic_exporter"].stop()
        await local["collector"].stop_collection()

    asyncio.run(go())
    for written in tmp_path.iterdir():
        assert "telemetry_events_total" in written.read_text()


def test_the_document_is_there(shared_data):
    assert len(BLOCKS) >= 14


def test_what_its_users_may_have_looked_at():
    """Names without promise, which programs and tests of the original's users have used."""

    async def go():
        home = instruments.TelemetryCollector(collection_interval=60)
        assert (home._running, home._collection_task) == (False, None)
        await home.start_collection()
        assert home._running
        assert home._collection_task is not None
        await home.stop_collection()
        assert not home._running
        return home

    home = asyncio.run(go())
    hook = print
    home.add_hook("x", hook)
    home.record_event("y", 1)

    assert hook in home._hooks["x"]
    assert "x" in home._hooks
    assert "y" not in home._hooks
    assert home._hooks["y"] == []
    assert len(home._events) == len(home.get_events()) == 2
    assert [event.name for event in home._events] == ["collection_run", "y"]
    assert list(home._metrics) == list(home.get_all_metrics())
    assert collector.TelemetryEvent is instruments.TelemetryEvent
    assert metrics.MetricType("counter") is instruments.MetricType.COUNTER
