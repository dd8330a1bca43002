"""docs/projection.md: its examples run, its table says what is so."""

import re

from heliograph.projection.sink import SinkConfig
from tests.house import ROOT

PAGE = (ROOT / "docs" / "projection.md").read_text()


def test_the_examples_run_one_after_the_other(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

    assert len(blocks) == 4
    exec("\n".join(blocks), {"folder": tmp_path})


def test_the_table_of_settings_is_whole_and_true():
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    told = {}
    for names, values in rows:
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=True):
            told[name] = value
    config = SinkConfig()
    wanted = {name: getattr(config, name) for name in config.__dataclass_fields__}
    spelled = {
        name: f"{value >> 20} MiB" if "bytes" in name else f"{value:,}"
        for name, value in wanted.items()
        if name != "fsync"
    }
    assert told == {**spelled, "fsync": "on"}
