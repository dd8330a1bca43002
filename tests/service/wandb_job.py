"""A training script with wandb, run by the Python of a real client: `wandb_job.py RUN STEPS [PAUSE_S]`.

It is no test, and imports nothing of ours. Every interval of the client is made short.
"""

import math
import os
import sys
import threading

import wandb


def settings():
    """What makes the client send often and come again soon, in the words of its version."""
    wanted = {
        # Less than a second counts as none given, which is fifteen.
        "file_stream_transmit_interval": 1.0,
        "file_stream_max_bytes": 50_000,
        "file_stream_retry_wait_min_seconds": 0.1,
        "file_stream_retry_wait_max_seconds": 0.5,
        "file_transfer_retry_wait_min_seconds": 0.1,
        "file_transfer_retry_wait_max_seconds": 0.5,
        "graphql_retry_wait_min_seconds": 0.1,
        "graphql_retry_wait_max_seconds": 0.5,
    }
    old = wandb.__version__.startswith("0.18.")
    mark = "_" if old else "x_"
    times = {"_stats_sample_rate_seconds" if old else "x_stats_sampling_interval": 0.2}
    if old:
        times["_stats_samples_to_average"] = 1
    return wandb.Settings(**{mark + name: value for name, value in wanted.items()}, **times)


def main():
    run_id, steps = sys.argv[1], int(sys.argv[2])
    pause_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    mode = os.environ.get("WANDB_MODE", "online")
    online = mode == "online"
    run = wandb.init(
        project="llm",
        id=run_id,
        name="a nice name",
        notes="by a test",
        tags=["test"],
        config={"lr": 0.1, "model": {"layers": 4}, "framework": "megatron"},
        mode=mode,
        settings=settings(),
    )
    pause = threading.Event()
    print("the loader is ready")
    print("torch.OutOfMemoryError: CUDA out of memory.", file=sys.stderr)
    # In which order lines of two streams are sent is each version's own.
    for number in range(3):
        print(f"out {number}\n")
        print(f"\rerr {number}", end="", file=sys.stderr)
    print("\nat once", file=sys.stderr)
    for step in range(steps):
        row = {"train/loss": 1.0 / (step + 1), "lr": 3e-4, "deep": {"er": step}}
        if step == 1:
            row |= {"train/loss": math.nan, "text": "word", "up": math.inf}
            row["picture"] = wandb.Histogram(np_histogram=([1, 2], [0, 1, 2]))
            if online:
                # Of an offline run 0.18 asks its server all the same, and waits.
                row["table"] = wandb.Table(columns=["a", "b"], data=[[1, 2], [3, 4]])
        run.log(row)
        if pause_s and step % 100 == 99:
            pause.wait(pause_s)
    # Long enough for a sample of the machine.
    pause.wait(float(os.environ.get("LINGER_S", "0")))
    weights = wandb.Artifact("weights", "model")
    weights.add_file(__file__)
    run.log_artifact(weights)
    if online:
        assert weights.wait().name == "weights:v0"
    run.summary["best"] = 3
    run.alert(title="low accuracy", text="it is 12 %", level="WARN")
    run.finish()


if __name__ == "__main__":
    main()
