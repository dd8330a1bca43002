"""What recorded sessions taught, a line each: bars below bars, rich's bars, long exceptions, pieces."""

import json

import pytest
from click.testing import CliRunner

from heliograph.cli.parse_log import parse_log
from heliograph.training.parse import parse_line

BELOW = " 50%|█████     | 2/4 [00:00<00:00, 18.26it/s]"
DICT = "{'loss': '4.168', 'grad_norm': '0.75', 'learning_rate': '0.00095', 'epoch': '0.125'}"
RICH = "Epoch 1/2  ━━━━━━━━╺━━━━ 20/50 0:00:00 • 0:00:01 712.15it/s train_loss: 0.153 val_loss: 2.5"
IN_RICH = {
    "current_iteration": 20,
    "target_iteration": 50,
    "epoch": 1.0,
    "steps_per_second": 712.15,
    "total_loss": 0.153,
    "extra": {"val_loss": 2.5},
}
GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] "


@pytest.mark.parametrize("up", ["\x1b[A", "[A"])
def test_a_bare_bar_below_another_is_no_training(up):
    assert parse_line(f"\r{BELOW}{up}").kind == "none"
    # What stands above it is the training's, whatever was drawn below it before.
    found = parse_line(f"\r{BELOW}{up}\r 50%|█████     | 40/80 [00:05<00:05,  7.81it/s]")
    assert found.fields == {"current_iteration": 40, "target_iteration": 80, "steps_per_second": 7.81}  # fmt: skip
    # One with a name of its own is the training's too.
    assert parse_line(f"\rEpoch 1: {BELOW}{up}").fields["epoch"] == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RICH, IN_RICH),
        ("\x1b[2K" + RICH.replace("━╺", "━\x1b[0m\x1b[38;5;237m╺") + "\r", IN_RICH),
        (RICH.replace("20/50", "10/50") + "\r" + RICH, IN_RICH),
        # Without a terminal nothing is said of what remains.
        (RICH.replace("0:00:01 ", "       "), IN_RICH),
    ],
)
def test_bars_of_rich(text, expected):
    found = parse_line(text)
    assert (found.fields, found.framework, found.rule) == (expected, "pytorch-lightning", "bar")


def test_evaluations_of_rich_are_none():
    assert parse_line(RICH.replace("Epoch 1/2", "Validation")).kind == "none"


def test_a_bar_that_has_not_moved_tells_no_step():
    """Lightning draws the old epoch's once more, empty, before the new one's."""
    unmoved = "Epoch 0:   0%|          | 0/50 [00:00<?, ?it/s, train_loss=1.280]"
    assert parse_line(unmoved).kind == "none"
    found = parse_line(f"\r  0%|          | 0/80 [00:00<?, ?it/s]\r     \r{DICT}")
    assert found.fields == parse_line(DICT).fields


def test_a_step_of_a_total_is_no_pair_of_primus():
    text = "[default1]:step: 3/30 | loss: 10.89 | grad_norm: 9.59 | lr: 1.000e-02"
    found = parse_line(text)
    assert (found.framework, found.fields["current_iteration"]) == ("unknown", 3)


@pytest.mark.parametrize("chars", [10, 129, 1500])
def test_an_exceptions_line_may_be_long(chars):
    (event,) = parse_line("[rank1]: ValueError: " + "x" * chars).events
    assert event.attributes["message"] == "x" * min(chars, 1024)


@pytest.mark.parametrize(
    ("text", "event_type", "attributes"),
    [
        (
            f"RuntimeError: {GLOO}Read error [10.0.0.1]:29583: Connection reset by peer. This is",
            "nccl_error",
            {"error": "Connection reset by peer", "role": "cascade"},
        ),
        (
            f"RuntimeError: Gloo connectFullMesh failed with {GLOO}timed out connecting: SO_ERROR: Connection refused, remote=[10.0.0.1]:2991$1",
            "nccl_error",
            {"error": "Connection refused", "role": "cascade"},
        ),
        (
            "Rank 2 successfully reached monitoredBarrier, but received errors while waiting for send/recv from rank 0. Please check rank 0 logs for faulty rank.",
            "nccl_timeout",
            {"backend": "gloo", "role": "cascade"},
        ),
    ],
)
def test_what_gloo_says_of_others(text, event_type, attributes):
    (event,) = parse_line(text).events
    assert (event.event_type, event.attributes) == (event_type, attributes)


def test_lightning_says_that_it_was_interrupted():
    (event,) = parse_line("Detected KeyboardInterrupt, attempting graceful shutdown ...").events
    assert tuple(event) == ("training_end", "warning", {"reason": "signal"})


def test_pieces_of_a_runtimes_line_are_joined_by_stream(tmp_path):
    text = "iteration 7/ 500 | lm loss: 2.5E+00 | grad norm: 1.0 |"
    stamp = "2026-11-22T11:44:00.00000000"
    path = tmp_path / "0.log"
    path.write_text(
        f"{stamp}1Z stdout P {text[:20]}\n{stamp}2Z stderr F ValueError: no\n"
        f"{stamp}3Z stdout F {text[20:]}\n{stamp}4Z stdout F {text}\n"
    )
    found = [json.loads(line) for line in CliRunner().invoke(parse_log, ["--json", str(path)]).output.splitlines()]  # fmt: skip
    assert [(one["kind"], one["line"], one["at"]) for one in found] == [
        ("event", 2, f"{stamp}2Z"),
        ("performance", 3, f"{stamp}3Z"),
        ("performance", 4, f"{stamp}4Z"),
    ]
    assert found[1]["fields"] == found[2]["fields"] == parse_line(text).fields


def test_a_dict_keeps_the_bar_that_it_was_printed_over(tmp_path):
    path = tmp_path / "0.log"
    path.write_text(f" 6%|▋ | 4/80 [00:01<00:10,  7.4it/s]\r 6%|▋ | 5/80 [00:01<00:10,  7.4it/s]\r    \r{DICT}\n")  # fmt: skip
    found = [json.loads(line) for line in CliRunner().invoke(parse_log, ["--json", str(path)]).output.splitlines()]  # fmt: skip
    assert found[-1]["fields"]["current_iteration"] == 5
    assert found[-1]["fields"]["total_loss"] == 4.168
