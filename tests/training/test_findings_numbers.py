"""Losses that are no number, loss scales at their end."""

from tests.training.telling import telling_tests

CASES = [
    # line, event type, severity, attributes
    ("Loss is nan, stopping training", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("ValueError: loss is NaN", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("AssertionError: Rank 3: found NaN in local forward loss calculation. Device: 3, node: n1", "nan_loss", "critical",
     {"field": "forward_loss", "value": "nan", "rank": 3, "role": "root"}),
    ("[rank2]: AssertionError: Rank 2: found NaN in local grad norm in backward pass before data-parallel communication collective. Device: 2", "nan_loss", "critical",
     {"field": "grad_norm", "value": "nan", "rank": 2, "role": "root"}),
    ("FloatingPointError: Minimum loss scale reached (0.0001). Your loss is probably exploding. Try lowering the learning rate", "loss_scale_collapse", "critical",
     {"loss_scale": 0.0001, "role": "root"}),
    ("Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.", "loss_scale_collapse", "critical",
     {"role": "root"}),
    ("Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 6.103515625e-05", "loss_scale_collapse", "critical",
     {"loss_scale": 6.103515625e-05, "role": "root"}),
    ("NaN loss detected at step 100", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "iteration": 100, "role": "root"}),
    ("The loss returned in `training_step` is nan", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("epoch 1 loss: nan acc 0.1", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("Training loss = NaN at iteration 550", "nan_loss", "critical",
     {"field": "training_loss", "value": "nan", "iteration": 550, "role": "root"}),
    ("Non-finite loss encountered, skipping", "nan_loss", "critical",
     {"field": "loss", "value": "inf", "role": "root"}),
    ("ValueError: The loss returned in `training_step` is inf.", "nan_loss", "critical",
     {"field": "loss", "value": "inf", "role": "root"}),
    ("loss is nan: True", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("Loss is NaN. Did it begin with the warmup?", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("Model diverged with loss = NaN", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
    ("FloatingPointError: Loss became infinite or NaN at iteration=123!", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "iteration": 123, "role": "root"}),
    ("INFO: loss became nan", "nan_loss", "critical",
     {"field": "loss", "value": "nan", "role": "root"}),
]  # fmt: skip
SILENT = [
    "Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 32768.0",
    "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 1, reducing to 1",
    "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 65536, reducing to 32768",
]  # fmt: skip

test_lines, test_lines_that_tell_nothing = telling_tests(CASES, SILENT)
