"""Who this process is, from the environment that launchers and clusters set.

    identity({"RANK": "3", "WORLD_SIZE": "8", "SLURM_JOB_ID": "917", "SLURM_JOB_NAME": "llm"})
    == {"rank": "3", "world_size": "8", "job_id": "917", "job": "llm"}

| label | torchrun | Open MPI, PMI | Slurm | Kubernetes downward API |
|---|---|---|---|---|
| rank, local_rank, world_size | RANK … | OMPI_COMM_WORLD_…, PMI_… | SLURM_PROCID … | |
| job_id | TORCHELASTIC_RUN_ID | | SLURM_JOB_ID | |
| job | | | SLURM_JOB_NAME | |
| node | | | SLURMD_NODENAME | NODE_NAME |
| pod, namespace, pod_uid | | | | POD_NAME, POD_NAMESPACE, POD_UID |

The first that is set wins, from left to right; what launches the ranks knows more than what it
runs on. `HELIOGRAPH_LABELS=team=vision,run=a` adds to all of it and wins over it. What is no number
where one belongs, or no label, is left out: a wrong rank is worse than none.
Source: torch.distributed.run, "Environment Variables"; Open MPI FAQ, "environmental variables";
sbatch(1), "OUTPUT ENVIRONMENT VARIABLES"; Kubernetes, "Expose Pod Information to Containers".
"""

from collections.abc import Mapping

VALUE_CHARS_MAX = 256
LABELS_MAX = 32

_NUMBERS = {
    "rank": ("RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"),
    "local_rank": (
        "LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "MPI_LOCALRANKID",
        "SLURM_LOCALID",
    ),
    "world_size": (
        "WORLD_SIZE",
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_NTASKS",
    ),
}
_TEXTS = {
    "job_id": ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_JOBID"),
    "job": ("SLURM_JOB_NAME",),
    "node": ("NODE_NAME", "K8S_NODE_NAME", "SLURMD_NODENAME"),
    "pod": ("POD_NAME", "K8S_POD_NAME"),
    "namespace": ("POD_NAMESPACE", "K8S_NAMESPACE_NAME"),
    "pod_uid": ("POD_UID", "K8S_POD_UID"),
}
# torchrun's word for a run that was given no id.
_NO_RUN = "none"
_DIGITS_MAX = 9


def identity(environ: Mapping[str, str]) -> dict[str, str]:
    """The labels of the process whose environment is *environ*; what is not known is absent."""
    found: dict[str, str] = {}
    for label, names in _NUMBERS.items():
        numbers = (environ.get(name, "").strip() for name in names)
        number = next((text for text in numbers if _is_number(text)), "")
        if number:
            found[label] = str(int(number))
    for label, names in _TEXTS.items():
        texts = (environ.get(name, "").strip() for name in names)
        text = next((text for text in texts if text and text != _NO_RUN), "")
        if text:
            found[label] = text[:VALUE_CHARS_MAX]
    if "pod" not in found and environ.get("KUBERNETES_SERVICE_HOST"):
        # In a container of Kubernetes the host is called as the pod.
        pod = environ.get("HOSTNAME", "").strip()
        found |= {"pod": pod[:VALUE_CHARS_MAX]} if pod else {}
    found |= _given(environ.get("HELIOGRAPH_LABELS", ""))
    return {label: value for label, value in found.items() if value}


def _given(text: str) -> dict[str, str]:
    """`name=value,name=value`; an empty value takes the label away."""
    found: dict[str, str] = {}
    for part in text.split(",")[:LABELS_MAX]:
        name, equals, value = part.partition("=")
        if equals and _is_label(name.strip()):
            found[name.strip()] = value.strip()[:VALUE_CHARS_MAX]
    return found


# Without `re`, whose import costs more than all that a first counter needs.
def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def _is_label(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not name.startswith("__")
