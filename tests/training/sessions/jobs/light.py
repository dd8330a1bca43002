"""A Lightning trainer on noise, with a validation each epoch and a checkpoint at its end."""

import argparse

import lightning
import torch
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(lightning.LightningModule):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))

    def training_step(self, batch, _):
        loss = nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, _):
        loss = nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.log("val_loss", loss, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--resume")
    parser.add_argument("--rich", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    lightning.seed_everything(1)
    rows = torch.randn(400, 16)
    data = TensorDataset(rows, rows.sum(1, keepdim=True))
    trainer = lightning.Trainer(
        max_epochs=given.epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[RichProgressBar() if given.rich else TQDMProgressBar(refresh_rate=10)],
        default_root_dir="lightning",
    )
    trainer.fit(Model(), DataLoader(data, 8), DataLoader(data, 40), ckpt_path=given.resume)


main()
