"""A transformers Trainer on noise. --resume goes on from the last checkpoint; --lr 1e9 diverges."""

import argparse
import time
import warnings

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed

TOKENS = 32


class Noise(Dataset):
    """Sequences of noise."""

    def __init__(self, rows: int, row_s: float = 0.0) -> None:
        self.rows = rows
        self.row_s = row_s

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        time.sleep(self.row_s)  # noqa: TID251 - it runs by itself
        seeded = torch.Generator().manual_seed(place)
        tokens = torch.randint(0, 64, (TOKENS,), generator=seeded)
        return {"input_ids": tokens, "labels": tokens}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="out")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=-1)
    parser.add_argument("--step-s", type=float, default=0.0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    set_seed(1)
    shape = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=TOKENS,
    )
    trainer = Trainer(
        model=LlamaForCausalLM(shape),
        args=TrainingArguments(
            output_dir=given.out,
            num_train_epochs=2,
            max_steps=given.steps,
            per_device_train_batch_size=4,
            learning_rate=given.lr,
            logging_steps=5,
            logging_nan_inf_filter=False,
            save_steps=20,
            eval_strategy="epoch" if given.evaluate else "no",
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=Noise(160, given.step_s / 4),
        eval_dataset=Noise(32),
    )
    trainer.train(resume_from_checkpoint=given.resume)


main()
