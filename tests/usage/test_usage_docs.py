"""The examples of docs/usage.md run."""

import re
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "usage.md"


def test_the_examples_run(registry, monkeypatch):
    monkeypatch.setenv("TELEMETRY_OPT_OUT", "yes")
    examples = re.findall(r"^```python\n(.*?)^```", DOC.read_text(), re.DOTALL | re.MULTILINE)
    names = {}
    for example in examples:
        exec(compile(example, str(DOC), "exec"), names)

    assert len(examples) == 5
    assert names["metrics"]
