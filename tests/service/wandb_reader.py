"""What a script reads of a run through `wandb.Api()`, as JSON: `wandb_reader.py ENTITY/PROJECT/RUN`.

It is no test, and imports nothing of ours: the Python of a real client runs it.
"""

import json
import sys

import wandb


def refused(ask):
    """What *ask* is told."""
    try:
        ask()
    except Exception as error:
        return str(error)
    return "nothing"


def resumed():
    """A run that must be there, and is not."""
    wandb.init(project="llm", id=f"none-{wandb.__version__}", resume="must")


def main():
    path = sys.argv[1]
    api = wandb.Api()
    run = api.run(path)
    keys = ["train/loss", "deep.er"]
    told = {
        "name": run.name,
        "state": run.state,
        "tags": run.tags,
        "lr": run.config["lr"],
        "best": run.summary["best"],
        "history": run.history(pandas=False),
        "sampled": run.history(keys=keys, samples=4, pandas=False),
        "scanned": list(run.scan_history(keys=keys, page_size=7)),
        "all": len(list(run.scan_history())),
        "runs": sorted(one.id for one in api.runs(path.rpartition("/")[0])),
        "artifact": refused(lambda: api.artifact(f"{path.rpartition('/')[0]}/weights:v0")),
        "sweep": refused(
            lambda: wandb.sweep({"method": "grid", "parameters": {}}, project="llm")
        ),
        "delete": refused(run.delete),
        "resume": refused(resumed),
    }
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
