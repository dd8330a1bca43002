"""A DeepSpeed engine on CPU with fp16 off; --ranks by its launcher. Prints its own timers."""

import argparse

import deepspeed
import torch
from deepspeed.utils.logging import set_log_level_from_string
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--local_rank", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    set_log_level_from_string("info")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
    engine, _, _, _ = deepspeed.initialize(
        model=model,
        model_parameters=model.parameters(),
        config={
            "train_micro_batch_size_per_gpu": 8,
            "optimizer": {"type": "Adam", "params": {"lr": 1e-3, "torch_adam": True}},
            "steps_per_print": 2,
            "wall_clock_breakdown": True,
        },
    )
    for step in range(1, given.steps + 1):
        rows = torch.randn(8, 16)
        loss = nn.functional.mse_loss(engine(rows), rows.sum(1, keepdim=True))
        engine.backward(loss)
        engine.step()
        if step % 10 == 0:
            engine.save_checkpoint("checkpoints")


main()
