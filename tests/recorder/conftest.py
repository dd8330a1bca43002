"""A recorder to ask: `recorder` once in memory and once in a data folder, `folder` in one alone."""

import pytest

from heliograph.recorder import BridgeTelemetry


@pytest.fixture
def made(tmp_path, clock):
    """Makes recorders that are closed in the end; the journal is `journal.jsonl`."""
    opened = []

    def make(where="folder", **config):
        config.setdefault("logger_config", {})
        config["logger_config"] = {
            "log_path": str(tmp_path / "journal.jsonl"),
            "enable_console": False,
            **config["logger_config"],
        }
        if where == "folder":
            config["storage_config"] = {
                "backend": "timeseries_db",
                "connection_string": str(tmp_path / "data"),
                **config.get("storage_config", {}),
            }
        telemetry = BridgeTelemetry(config, clock=clock)
        opened.append(telemetry)
        return telemetry

    yield make
    for telemetry in opened:
        telemetry.close()


@pytest.fixture(params=["memory", "folder", "buffered"])
def recorder(request, made):
    """The same recorder on each store."""
    if request.param == "buffered":
        return made("folder", storage_config={"durability": "buffered"})
    return made(request.param)
