"""How much of real training lines is read right, and how fast: `python bench/extraction.py [FILE]`.

FILE holds one JSON object a line: {"id", "framework", "kind", "line", "expected"} with the short
names below; by default loglines.jsonl of the shared data folder. Speed is measured in CPU seconds
beside a plain baseline, one hand-written pattern a format, on the same lines.
"""

import json
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from heliograph.training.parse import parse_line

DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "loglines.jsonl"
PATTERNED = ("megatron-lm", "primus", "torchtitan")
SECONDS = 1.0
NAMES = {
    "iteration": "current_iteration",
    "step": "current_iteration",
    "elapsed_ms": "elapsed_time_per_iteration_ms",
    "elapsed_ms_avg": "elapsed_time_per_iteration_ms_avg",
    "loss": "total_loss",
    "samples_per_s": "samples_per_second",
    "samples_per_s_avg": "samples_per_second_avg",
    "tokens_per_s": "tokens_per_second",
    "steps_per_s": "steps_per_second",
    "aux_loss": "auxiliary_loss",
}
NOISE = (
    "INFO 2026-01-01 00:00:00 loaded shard 17 of 99 from /data/c4/x.bin in 3.2 s",
    " > building the shuffle index took 0.01 seconds",
    "NCCL INFO Channel 03/0 : 1[1] -> 0[0] via P2P/CUMEM",
    "time (ms) | forward-compute: 53.79 | forward-recv: 38.38 | optimizer: 49.42",
)


class Score(NamedTuple):
    """Fields read right, read wrong, and not read; and the wrong ones by line."""

    right: int
    wrong: int
    missed: int
    faults: tuple[str, ...]

    @property
    def precision(self) -> float:
        """Of what was read, the part that is right."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Of what is there, the part that was read right."""
        told = self.right + self.missed
        return self.right / told if told else 1.0


def expected_fields(line: dict[str, Any]) -> dict[str, float]:
    """The fields a careful human reads, by training field name."""
    return {
        NAMES.get(name, name): float(value) if isinstance(value, str) else value
        for name, value in line["expected"].items()
    }


def score(lines: Sequence[dict[str, Any]]) -> Score:
    """Compares every field of *lines*; one that nobody expects counts as wrong.

    What is no field of the contract (`val_loss`, `reward`) is looked for under `extra`.
    """
    right = wrong = missed = 0
    faults = []
    for line in lines:
        expected = expected_fields(line)
        fields = parse_line(line["line"]).fields
        found = {name: value for name, value in fields.items() if name != "extra"}
        extra = fields.get("extra", {})
        found |= {name: extra[name] for name in expected.keys() & extra.keys() - found.keys()}
        for name in expected.keys() | found.keys():
            if name not in found:
                missed += 1
                faults.append(f"{line['id']} missed {name} = {expected[name]}")
            elif name in expected and same(found[name], expected[name]):
                right += 1
            else:
                wrong += 1
                missed += name in expected
                faults.append(f"{line['id']} {name} = {found[name]}, not {expected.get(name)}")
    return Score(right, wrong, missed, tuple(faults))


def same(one: float, other: float) -> bool:
    """Equal, or both NaN."""
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-9)


_NUMBER = r"([-+]?(?:\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|nan|inf))"
_PAIR = rf"{_NUMBER}(?:/{_NUMBER})?"
_MEGATRON = (
    rf"iteration\s+(\d+)\s*/\s*(\d+) \| consumed samples:\s+(\d+) \| "
    rf"elapsed time per iteration \(ms\):\s+{_PAIR} \|"
    rf"(?: (?:hip|rocm) mem usage/free/total/usage_ratio: {_NUMBER}GB/{_NUMBER}GB/{_NUMBER}GB/{_NUMBER}% \|)?"
    rf"(?: mem usages: {_NUMBER} \|)?"
    rf"(?: throughput per GPU \(TFLOP/s/GPU\):\s+{_PAIR}\s+\|)?"
    rf"(?: tokens per GPU \(tokens/s/GPU\):\s+{_PAIR} \|)?"
    rf"(?: tokens/s/GPU inst/harmonic mean:\s+{_PAIR} \|)?"
    rf" learning rate:\s+{_NUMBER} \| global batch size:\s+(\d+) \|"
    rf"(?: lm loss:\s+{_NUMBER} \|)?(?: load_balancing_loss:\s+{_NUMBER} \|)?"
    rf" loss scale:\s+{_NUMBER} \|(?: grad norm:\s+{_NUMBER} \|)?(?: num zeros:\s+{_NUMBER} \|)?"
    rf"(?: params norm:\s+{_NUMBER} \|)?"
    r" number of skipped iterations:\s+(\d+) \| number of nan iterations:\s+(\d+) \|"
)
_TITAN = (
    rf"step:\s+(\d+)\s+loss:\s+{_NUMBER}\s+(?:grad_norm:\s+{_NUMBER}\s+)?"
    rf"memory:\s+{_NUMBER}GiB\({_NUMBER}%\)\s+(?:tps|wps):\s+{_NUMBER}\s+"
    rf"(?:tflops:\s+{_NUMBER}\s+)?mfu:\s+{_NUMBER}%"
)
_ANSI = re.compile(r"(?:\x1b)?\[\d+(?:;\d+)*m")
_BASELINE = tuple(re.compile(pattern) for pattern in (_MEGATRON, _TITAN))


def baseline(text: str) -> tuple[float, ...]:
    """What a pattern a format reads: the groups of the first that matches, as numbers."""
    text = _ANSI.sub("", text)
    for pattern in _BASELINE:
        match = pattern.search(text)
        if match is not None:
            return tuple(
                float(group.replace(",", "")) for group in match.groups() if group is not None
            )
    return ()


def rate(parse: Callable[[str], object], lines: Sequence[str]) -> float:
    """Lines a CPU second, the best of three."""
    best = 0.0
    for _ in range(3):
        count, start = 0, time.process_time()
        while (spent := time.process_time() - start) < SECONDS / 3:
            for line in lines:
                parse(line)
            count += len(lines)
        best = max(best, count / spent)
    return best


def main() -> None:
    """Prints both."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    print(
        f"{'framework':18}{'lines':>6}{'right':>7}{'wrong':>7}{'missed':>7}{'precision':>11}{'recall':>9}"
    )
    told = [one for one in lines if one["kind"] in {"perf", "nan"}]
    names = sorted({one["framework"] for one in told})
    wanted = {name: [one for one in told if one["framework"] == name] for name in names}
    wanted["together"] = told
    for name, some in wanted.items():
        got = score(some)
        print(
            f"{name:18}{len(some):6}{got.right:7}{got.wrong:7}{got.missed:7}{got.precision:11.2%}{got.recall:9.2%}"
        )
    for fault in score(wanted["together"]).faults:
        print("  ", fault)
    others = [one for one in lines if one not in told]
    read = sum(parse_line(one["line"]).kind == "performance" for one in others)
    print(f"lines that tell no values: {len(others)}, of them read as values: {read}")
    print(
        f"\n{'lines / CPU s':14}{'grammar':>12}{'patterns':>12}{'ratio':>8}  lines the patterns match"
    )
    for name in (*PATTERNED, "noise"):
        texts = list(NOISE) if name == "noise" else [one["line"] for one in wanted[name]]
        ours, theirs = rate(parse_line, texts), rate(baseline, texts)
        matched = sum(bool(baseline(text)) for text in texts)
        print(
            f"{name:14}{ours:12,.0f}{theirs:12,.0f}{ours / theirs:8.2f}  {matched} of {len(texts)}"
        )


if __name__ == "__main__":
    main()
