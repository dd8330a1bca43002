"""Identity from what launchers set, one row a launcher."""

import pytest

from heliograph.instruments.identity import identity

TORCHRUN = {"RANK": "9", "LOCAL_RANK": "1", "WORLD_SIZE": "16", "TORCHELASTIC_RUN_ID": "llm-7"}
SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NTASKS": "8",
    "SLURM_JOB_ID": "917",
    "SLURM_JOB_NAME": "pretrain",
    "SLURMD_NODENAME": "gpu-04",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "8",
}
KUBERNETES = {
    "POD_NAME": "llm-0",
    "POD_NAMESPACE": "train",
    "POD_UID": "p-1",
    "NODE_NAME": "gpu-04",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "HOSTNAME": "llm-0",
}
RANKS_OF_TORCHRUN = {"rank": "9", "local_rank": "1", "world_size": "16", "job_id": "llm-7"}
PLACE = {"pod": "llm-0", "namespace": "train", "pod_uid": "p-1", "node": "gpu-04"}
ROWS = [
    ("nothing is known", {}, {}),
    ("torchrun", TORCHRUN, RANKS_OF_TORCHRUN),
    (
        "Slurm",
        SLURM,
        {
            "rank": "3",
            "local_rank": "3",
            "world_size": "8",
            "job_id": "917",
            "job": "pretrain",
            "node": "gpu-04",
        },
    ),
    ("Open MPI", OPEN_MPI, {"rank": "5", "local_rank": "1", "world_size": "8"}),
    ("Intel MPI", {"PMI_RANK": "2", "PMI_SIZE": "4"}, {"rank": "2", "world_size": "4"}),
    ("the downward API", KUBERNETES, PLACE),
    ("torchrun in a pod", {**TORCHRUN, **KUBERNETES}, {**RANKS_OF_TORCHRUN, **PLACE}),
    (
        "torchrun under Slurm knows the ranks, Slurm the rest",
        {**SLURM, **TORCHRUN},
        {**RANKS_OF_TORCHRUN, "job": "pretrain", "node": "gpu-04"},
    ),
    (
        "torchrun without an id calls it none",
        {"TORCHELASTIC_RUN_ID": "none", "SLURM_JOB_ID": "917"},
        {"job_id": "917"},
    ),
    ("no number, no rank", {"RANK": "three", "OMPI_COMM_WORLD_RANK": "3"}, {"rank": "3"}),
    ("a negative rank is none", {"RANK": "-1"}, {}),
    ("digits of other scripts are none", {"RANK": "٣"}, {}),
    ("numbers are written one way", {"RANK": " 03 "}, {"rank": "3"}),
    ("an empty text is none", {"POD_NAME": " "}, {}),
    ("a long one is cut", {"POD_NAME": "x" * 999}, {"pod": "x" * 256}),
    (
        "a pod's host is called as the pod",
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "llm-0"},
        {"pod": "llm-0"},
    ),
    ("any other host is not", {"HOSTNAME": "desk"}, {}),
    (
        "an empty one takes a label away",
        {"RANK": "1", "POD_NAME": "llm-0", "HELIOGRAPH_LABELS": "rank="},
        {"pod": "llm-0"},
    ),
    (
        "given labels win",
        {
            "RANK": "1",
            "HELIOGRAPH_LABELS": "team=vision, rank=6,=x,bad name=1,__name__=no,rank=7",
        },
        {"rank": "7", "team": "vision"},
    ),
]


@pytest.mark.parametrize(
    ("environ", "labels"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_row(environ, labels):
    assert identity(environ) == labels
