"""What the jobs themselves report: steps and evidence of their framework, and that they were run.

POST /v1/wandb/logs        the steps that the torchtitan job logs, as an agent beside it sends them
POST /v1/wandb/detection   once a life of that job: what it imported
POST /v1/usage             once a life of any job, when it ended
"""

from collections.abc import Iterable
from typing import Any

from heliograph.simulator import progress
from heliograph.simulator.cluster import NAMESPACE, SECOND_NS, Happening, PodRun

WANDB_FRAMEWORK = "torchtitan"
VERSION = "1.4.0"
_DEVICES = {"primus": "AMD Instinct MI300X"}

Document = dict[str, Any]


def steps(happenings: Iterable[Happening], *, seed: int) -> list[Document]:
    """Bodies of `/v1/wandb/logs`: all steps of a pod in one, in order."""
    logged: dict[str, Document] = {}
    for happening in happenings:
        if happening.kind != "iterated" or happening.job.framework != WANDB_FRAMEWORK:
            continue
        pod = happening.pods[0]
        body = logged.setdefault(
            pod.uid, {**_whose(pod), "run_id": _run(happening), "logs": []}
        )
        body["logs"].append(_step(happening, seed))
    return list(logged.values())


def detections(happenings: Iterable[Happening]) -> list[Document]:
    """Bodies of `/v1/wandb/detection`: one for each time that the job begins."""
    return [
        {
            **_whose(happening.pods[0]),
            "source": "wandb",
            "timestamp": happening.at_ns / 1e9,
            "evidence": {
                "base_frameworks": {WANDB_FRAMEWORK: {"detected": True}},
                "pytorch": {"available": True, "detected_modules": {}},
                "wandb": {"project": happening.job.name, "id": _run(happening)},
            },
        }
        for happening in happenings
        if happening.kind in {"begun", "resumed"} and happening.job.framework == WANDB_FRAMEWORK
    ]


def usage(happenings: Iterable[Happening]) -> list[Document]:
    """Bodies of `/v1/usage`: one for each job that ended."""
    return [
        {
            "version": VERSION,
            "action": "train",
            "network": happening.job.name,
            "success": happening.why == "completed",
            "user_error": False,
            "time_lapsed": (happening.at_ns - happening.pods[0].start_ns) // SECOND_NS,
            "gpu": [
                _DEVICES.get(happening.job.framework, "NVIDIA H100 80GB HBM3")
                for pod in happening.pods
                for _ in pod.gpus
            ],
        }
        for happening in happenings
        if happening.kind == "ended" and happening.pods
    ]


def _whose(pod: PodRun) -> Document:
    return {"pod_uid": pod.uid, "pod_name": pod.name, "namespace": NAMESPACE}


def _run(happening: Happening) -> str:
    return f"{happening.job.name}-{happening.generation}"


def _step(happening: Happening, seed: int) -> Document:
    shown = progress.of(
        happening.job, happening.iteration, seed=seed, generation=happening.generation
    )
    return {
        "step": happening.iteration,
        "timestamp": happening.at_ns / 1e9,
        "data": {
            "loss_metrics/global_avg_loss": round(shown.loss, 5),
            "grad_norm": round(shown.grad_norm, 4),
            "lr": shown.learning_rate,
            "throughput(tps)": round(shown.tokens_per_s, 1),
        },
    }
