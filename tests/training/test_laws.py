"""What holds of every line: order, gaps and repetitions change no value; nothing raises."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from heliograph.training.parse import RULES, parse_line

PIPED = {
    "iteration      126/    5000": {"current_iteration": 126, "target_iteration": 5000},
    "consumed samples:        16128": {"consumed_samples": 16128},
    "elapsed time per iteration (ms): 13372.8/13364.7": {
        "elapsed_time_per_iteration_ms": 13372.8,
        "elapsed_time_per_iteration_ms_avg": 13364.7,
    },
    "hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09%": {
        "mem_usage_gb": 153.81,
        "mem_free_gb": 102.17,
        "mem_total_gb": 255.98,
        "mem_usage_ratio": 60.09,
    },
    "compute per GPU (TFLOP/s/GPU): 567.6 (avg 568.0)": {"tflops": 567.6, "tflops_avg": 568.0},
    "tokens/s/GPU inst/harmonic mean: 9801.4/9807.3": {
        "tokens_per_gpu": 9801.4,
        "tokens_per_gpu_avg": 9807.3,
    },
    "learning rate: 9.984820E-06": {"learning_rate": 9.98482e-06},
    "global batch size:   128": {"global_batch_size": 128},
    "lm loss: 6.548988E-03": {"lm_loss": 6.548988e-03},
    "loss scale: 1.0": {"loss_scale": 1.0},
    "grad norm: 0.061": {"grad_norm": 0.061},
    "number of skipped iterations:   0": {"skipped_iterations": 0},
    "number of nan iterations:   0": {"nan_iterations": 0},
}
SPACED = {
    "step: 530": {"current_iteration": 530},
    "loss:  5.9866": {"total_loss": 5.9866},
    "grad_norm:  0.5402": {"grad_norm": 0.5402},
    "memory: 63.36GiB(45.35%)": {"mem_usage_gb": 63.36, "mem_usage_ratio": 45.35},
    "tps: 1,829": {"tokens_per_gpu": 1829.0},
    "tflops: 23.15": {"tflops": 23.15},
    "mfu: 2.34%": {"mfu": 2.34},
}
PREFIXES = ("", " [2025-08-13 03:42:28] ", "[[32m20251202 09:12:08[0m][[36mINFO [0m] : ", "3: ")


def some_of(table, always):
    """Parts of a line: any of *table* in any order, some twice, *always* among them."""
    parts = st.lists(st.sampled_from(sorted(table)), min_size=2, max_size=2 * len(table))
    return parts.filter(lambda chosen: always in chosen and len(set(chosen)) > 1)


def fields_of(table, parts):
    return {name: value for part in parts for name, value in table[part].items()}


@given(some_of(PIPED, "iteration      126/    5000"), st.sampled_from(PREFIXES), st.booleans())
def test_piped_in_any_order_with_gaps_and_repetitions(parts, prefix, closed):
    line = prefix + " | ".join(parts) + (" |" if closed else "")
    parsed = parse_line(line)
    assert (parsed.kind, parsed.fields) == ("performance", fields_of(PIPED, parts))


@given(some_of(SPACED, "step: 530"), st.sampled_from(("", "[titan] 2025 - root - INFO - ")))
def test_spaced_in_any_order_with_gaps_and_repetitions(parts, prefix):
    parsed = parse_line(prefix + "  ".join(parts))
    assert (parsed.kind, parsed.fields) == ("performance", fields_of(SPACED, parts))


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["{}", "{:.6E}", "{:.3f}", "{:12.1f}", "{:,.2f}"]),
)
def test_any_number_in_any_print(number, shape):
    printed = shape.format(number)
    parsed = parse_line(f"iteration 1/ 2 | lm loss: {printed[:100]} | consumed samples: 5 |")
    if len(printed) > 100:
        return
    found, meant = parsed.fields["lm_loss"], float(printed.replace(",", ""))
    assert found == meant or (math.isnan(found) and math.isnan(meant))


@given(st.text(max_size=300))
def test_nothing_raises(text):
    for line in (
        text,
        f"iteration 1/2 | {text}",
        f"step: 5 {text}",
        f"saving checkpoint {text}",
        f"{{'loss': 1.0, {text}",
        f"Epoch 1:  5%|▌ | 1/20 [00:01<00:20, 1.2s/it, {text}",
        f"completed step: 1, seconds: 1.0, {text}",
        f"Train loss/{text}: 1.0",
        f"{text}|{text}| step=1 loss=2 {text}",
    ):
        parsed = parse_line(line)
        assert parsed.rule in RULES
        assert (parsed.kind == "none") <= (parsed.fields == {} and parsed.events == ())


DICT = {
    "'loss': 2.5": {"total_loss": 2.5},
    "'grad_norm': '0.25'": {"grad_norm": 0.25},
    "'learning_rate': np.float64(2e-05)": {"learning_rate": 2e-5},
    "'epoch': 0.5": {"epoch": 0.5},
    "'num_tokens': 4096.0": {"consumed_tokens": 4096},
}
COMMAS = {
    "completed step: 4": {"current_iteration": 4},
    "seconds: 5.5": {"elapsed_time_per_iteration_ms": 5500.0},
    "TFLOP/s/device: 134.5": {"tflops": 134.5},
    "Tokens/s/device: 8,670.5": {"tokens_per_gpu": 8670.5},
    "loss: 11.5": {"total_loss": 11.5},
}


@given(
    some_of(DICT, "'loss': 2.5"),
    st.sampled_from(("", "3: ", "  5%|▌ | 5/100 [00:05<01:35,  1.5s/it]")),
)
def test_dicts_in_any_order_with_gaps_and_repetitions(parts, before):
    parsed = parse_line(before + "{" + ", ".join(parts) + "}")
    bar = {
        "current_iteration": 5,
        "target_iteration": 100,
        "elapsed_time_per_iteration_ms": 1500.0,
    }
    expected = fields_of(DICT, parts) | (bar if "|" in before else {})
    assert (parsed.kind, parsed.fields) == ("performance", expected)


@given(
    some_of(COMMAS, "completed step: 4"),
    st.sampled_from(("", "0: ", "I0101 12:00:00.123456 140000 a.py:180] ")),
)
def test_commas_in_any_order_with_gaps_and_repetitions(parts, prefix):
    parsed = parse_line(prefix + ", ".join(parts))
    assert (parsed.kind, parsed.fields) == ("performance", fields_of(COMMAS, parts))


@given(st.text(alphabet="|:/()%., 0123456789eEinfga-GB[]\x1bmkloss", max_size=200))
def test_nothing_raises_on_shreds(text):
    parse_line(f"iteration 1/2 | lm loss: 1.0 | hip mem usage/free/total: {text} | {text}")
    json.dumps(parse_line(f"step: 1  loss: 2  {text}").fields)
