"""A small data-parallel job on CPU: every rank prints its steps; rank 0 saves every tenth.

--fault   none; raise, kill, segv: of the last rank at step --at; loader: a worker of rank 1 is killed;
          absent: the last rank does not come to the barrier; memory: rank 1 asks for more than there is
"""

import argparse
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

BATCH = 8


class Noise(Dataset):
    """Rows of noise; what they sum up to is to be learnt."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at = dies_at

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, place: int):
        if self.dies_at and place // BATCH == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        row = torch.randn(16, generator=torch.Generator().manual_seed(place))
        return row, row.sum().reshape(1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--fault", default="none")
    parser.add_argument("--at", type=int, default=15)
    parser.add_argument("--step-s", type=float, default=0.0)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--checkpoints", default="ckpt")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if given.apart:
        # gloo finds the addresses of the attempt before in a store that both share.
        store, rank, world = next(dist.rendezvous("env://"))
        store = dist.PrefixStore(attempt, store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    else:
        dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    fault = given.fault if attempt == "0" else "none"
    torch.manual_seed(0)
    model = DistributedDataParallel(
        nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    path = Path(given.checkpoints) / "last.pt"
    done = 0
    if path.exists():
        held = torch.load(path)
        model.load_state_dict(held["model"])
        done = held["step"]
        if rank == 0:
            print(f"successfully loaded checkpoint from {path} at iteration {done}", flush=True)
    dies_at = given.at if fault == "loader" and rank == 1 else 0
    loader = DataLoader(Noise(dies_at), BATCH, num_workers=1 if dies_at else 0)
    for step, (rows, sums) in enumerate(loader, 1):
        if step <= done:
            continue
        if step > given.steps:
            break
        time.sleep(given.step_s)  # noqa: TID251 - it runs by itself
        began_s = time.perf_counter()
        loss = nn.functional.mse_loss(model(rows), sums)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        took_ms = (time.perf_counter() - began_s) * 1000
        print(
            f"step: {step}/{given.steps} | loss: {loss.item():.6f} | grad_norm: {norm.item():.4f} "
            f"| lr: {0.01:.3e} | step time (ms): {took_ms:.2f}",
            flush=True,
        )
        if step == given.at:
            goes_wrong(fault, rank, world, step)
        if step % 10 == 0:
            saved(model, path, rank, step)
    dist.destroy_process_group()


def goes_wrong(fault: str, rank: int, world: int, step: int) -> None:
    last = rank == world - 1
    if fault == "raise" and last:
        raise ValueError(f"batch {step} has a token id 50257 that the vocabulary lacks")
    if fault == "kill" and last:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segv" and last:
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "absent" and last:
        time.sleep(8)  # noqa: TID251 - it runs by itself
    if fault == "absent":
        dist.monitored_barrier(timeout=timedelta(seconds=2))
    if fault == "memory" and rank == 1:
        torch.empty(1 << 50)


def saved(model: nn.Module, path: Path, rank: int, step: int) -> None:
    dist.barrier()
    if rank == 0:
        print(f"saving checkpoint at iteration {step} to {path}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": model.state_dict(), "step": step}, path)
        print(f"successfully saved checkpoint from iteration {step} to {path}", flush=True)
    dist.barrier()


main()
