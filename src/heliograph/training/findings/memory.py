"""Memory that ran out, of a device or of a host, in every wording we know.

    CUDA out of memory. Tried to allocate 304.00 MiB (GPU 0; 8.00 GiB total capacity; 7.14 GiB
        already allocated; 6.50 MiB free; 7.32 GiB reserved in total by PyTorch)        PyTorch 1.x
    HIP out of memory. Tried to allocate 978.00 MiB. GPU 0 has a total capacity of 15.98 GiB of
        which 630.00 MiB is free. Of the allocated memory …                             PyTorch 2.x
    RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1234567 bytes.           XLA
    Memory cgroup out of memory: Killed process 4242 (python) …                         Linux
    slurmstepd: error: Detected 1 oom_kill event in StepId=12.0.                        Slurm
    Last State: Terminated  Reason: OOMKilled                                           Kubernetes

Attributes: backend (`cuda`, `hip`, `xpu`, `npu`, `mps`, `xla`, `cpu`, `host`), gpu,
requested_gb, mem_total_gb, mem_free_gb, allocated_gb, process_gb (all that this process holds),
reserved_gb (in total) or reserved_unallocated_gb, each with four decimals, a GiB being one; of the
host: process, pid, task, job_id. What the line does not say is absent.

A bare `Killed` is none; nor is advice that speaks of memory that may run out.
"""

import re
from typing import Any

from heliograph.training.findings.event import (
    CONFIRMATION,
    CRITICAL,
    ROOT,
    Found,
    begins,
    found,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"(?i)out of memory|outofmemory|memory_allocation|resource[_ ]exhausted|oom[-_ ]?kill|"
    r"allocate (?:memory|\d)|std::bad_alloc|alloc_failed|memoryerror|oom when allocating|"
    r"out-of-memory handler|exceeds the memory usage threshold|OOMKilled|"
    r"exceeded (?:job |step )?memory limit|memory pressure \(oom\)|system oom encountered"
)
RULES = ("oom",)

_DEVICE = compiled(
    r"\b(CUDA|HIP|XPU|NPU|MPS|MUSA|HPU)(?: (?:driver |runtime )?error:| backend)? "
    r"out of memory\b(\.? Tried to allocate)?",
    re.IGNORECASE,
)
_TRIED = compiled(r"\bout of memory\b.{0,40}?\btried to allocate \d", re.IGNORECASE)
_NAMED = compiled(
    r"\b(?P<cuda>CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|"
    r"CUDNN_STATUS_ALLOC_FAILED|cudaMalloc(?:Async)? failed: out of memory|"
    r"(?:cuda|Cuda) failure (?:\d+ )?'out of memory'|cuda runtime error \(2\) ?: out of memory)"
    r"|\b(?P<hip>hipErrorOutOfMemory|HIPBLAS_STATUS_ALLOC_FAILED|ROCBLAS_STATUS_MEMORY_ERROR|"
    r"(?:hip|HIP) failure (?:\d+ )?'out of memory')"
    r"|(?P<xla>(?:RESOURCE_EXHAUSTED|Resource exhausted):?\s.{0,80}?\b(?:[Oo]ut of memory|"
    r"[Rr]an out of memory|[Aa]ttempting to (?:reserve|allocate)|OOM|[Ff]ailed to allocate)"
    r"|\bOOM when allocating tensor"
    r"|\bran out of memory trying to allocate)"
    r"|(?P<cpu>DefaultCPUAllocator: (?:can't|not enough memory)|ArrayMemoryError\b|"
    r"\bstd::bad_alloc\b|\[Errno 12\] Cannot allocate memory)"
    r"|(?P<cuda2>\bOut of memory error on GPU \d+)"
)
_PYTHON = compiled(r"\bMemoryError\b(?=\s*(?::|$))")
_TORCH = compiled(r"\b(?:torch(?:\.cuda)?\.)?OutOfMemoryError\b(?=\s*(?::|$))")
_KERNEL = compiled(
    r"\b(?:Memory cgroup out of memory|Out of memory)(?: \(\w+\))?: "
    r"Kill(?:ed)? process (?P<pid>\d+)(?:,)? \((?P<process>[^)]*)\)"
    r"|\boom-kill:constraint=.*?\btask=(?P<process2>[^,]+),pid=(?P<pid2>\d+)"
    r"|\b(?P<process3>\S+) invoked oom-killer:"
    r"|\bSystem OOM encountered, victim process: (?P<process4>[^,]+), pid: (?P<pid4>\d+)"
)
_SLURM = compiled(
    r"\bDetected \d+ oom[-_ ]kill event(?:\(s\)|s)? in (?:StepId=|step )"
    r"(?P<job>\d+)(?:\.(?P<step>\S+?))?(?=[\s.]|$)"
    r"|\berror: (?P<node>\S+): tasks? (?P<task>[\d,-]+): Out Of Memory\b"
    r"|\bslurmstepd: error: (?:Exceeded (?:job|step) memory limit\b|"
    r"(?:Job|Step) (?P<job2>\d+)\S* exceeded memory limit\b)",
    re.IGNORECASE,
)
_RAY = compiled(
    r"\bMemory on the node \(.{0,200}?exceeds the memory usage threshold"
    r"|\bkilled due to the node running low on memory"
    r"|\b[1-9]\d* Workers \(tasks / actors\) killed due to memory pressure \(OOM\)"
)
_KUBERNETES = compiled(
    r"\b[Rr]eason['\"]?\s*[:=]\s*['\"]?OOMKilled\b|\b(?:was|been|got) OOMKilled\b"
    # A state's own words: `OOMKilled: false` of each container that did not.
    r"|\bOOMKilled['\"]?(?:: |=)(?!['\"]?(?i:false|no|none|null|0)\b|\{)"
)
_ADVICE = compiled(
    r"\b(?:avoid|prevent|reduce|if you|in case of|might|may|could|help with|except|likely|"
    r"get|see|hit|handle|catch|on|when)\b[^:]*\Z",
    re.IGNORECASE,
)
# What speaks of an error by its name: how it is avoided, a comment.
_SPEAKS = compiled(
    r"\b(?:avoid|prevent)(?:s|ing)?(?: \w+){0,2} [\w.]+Error: \Z|(?:\A|\s)# \Z", re.IGNORECASE
)
_NONE = compiled(
    r"(?: (?:errors?|events?|counts?|kills?|retries|exceptions?))+['\"]?\s*[:=]"
    r"\s*0\b(?!\.\d|\s*(?:bytes|[KMG]i?B))",
    re.IGNORECASE,
)

_SIZE = r"(?<![\d.])(\d+(?:\.\d+)?)\s*((?:[KMGTP]i?)?B|bytes|[KMGT])\b"
_SCALE = {"b": 2.0**-30, "k": 2.0**-20, "m": 2.0**-10, "g": 1.0, "t": 1024.0, "p": 2.0**20}
_SIZES = tuple(
    (name, compiled(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "requested_gb",
            (
                r"\b(?:tried|trying|attempting|failed|unable) to (?:allocate|reserve)"
                rf"(?: request for)?:? {_SIZE}"
                rf"|[Cc]annot allocate {_SIZE}"
                rf"|\bout of memory allocating {_SIZE}|\bRequested (?:memory )?:? ?{_SIZE}"
            ),
        ),
        (
            "mem_total_gb",
            rf"{_SIZE} total capacity|total capaci?ty of {_SIZE}|\bof {_SIZE} hbm",
        ),
        ("mem_free_gb", rf"{_SIZE} (?:is )?free\b|available memory is only {_SIZE}"),
        (
            "allocated_gb",
            (
                rf"{_SIZE} already allocated|{_SIZE} is allocated by PyTorch"
                rf"|MPS allocated: {_SIZE}|{_SIZE} memory has been allocated"
            ),
        ),
        ("process_gb", rf"this process has {_SIZE} memory in use"),
        (
            "reserved_unallocated_gb",
            rf"{_SIZE} is reserved by PyTorch but unallocated",
        ),
        ("reserved_gb", rf"{_SIZE} (?:reserved in total|cached\b)"),
        ("limit_gb", rf"{_SIZE} allowed\b|max allowed: {_SIZE}"),
    )
)
_GPU = compiled(r"\b(?:GPU|NPU|XPU|device)[: ](\d{1,4})\b")


def read(text: str) -> Found | None:
    """The end of memory that *text* tells, or None."""
    return _of_device(text) or _of_host(text)


def _of_device(text: str) -> Found | None:
    match = _DEVICE.search(text)
    if match is not None:
        said = match[2] is not None or begins(text, match.start())
        if not (said and _happened(text, match)) and not _TRIED.search(text):
            return None
        return _device(text, match.start(), match[1].lower())
    named = _NAMED.search(text)
    if named is not None and not _advises(text, named.start()):
        backend = str(named.lastgroup).rstrip("2")
        return _device(text, named.start(), backend)
    torch = _TORCH.search(text)
    if torch is not None and begins(text, torch.start()):
        of_ray = text[: torch.start()].endswith("ray.exceptions.")
        return _device(text, torch.start(), "host" if of_ray else None)
    return None


def _device(text: str, at: int, backend: str | None) -> Found:
    attributes: dict[str, Any] = {"backend": backend}
    gpu = _GPU.search(text, at)
    if gpu is not None:
        attributes["gpu"] = int(gpu[1])
    for name, pattern in _SIZES:
        match = pattern.search(text, at)
        if match is not None:
            amount, unit = [group for group in match.groups() if group is not None][:2]
            attributes[name] = round(float(amount) * _SCALE[unit[0].lower()], 4)
    return found("oom", CRITICAL, "oom", at, ROOT, attributes)


def _of_host(text: str) -> Found | None:
    attributes: dict[str, Any] = {"backend": "host"}
    role = ROOT
    match = _KERNEL.search(text)
    if match is not None:
        attributes["process"] = next(
            filter(None, (match[f"process{n}"] for n in ("", 2, 3, 4)))
        )
        pid = match["pid"] or match["pid2"] or match["pid4"]
        attributes["pid"] = int(pid) if pid else None
    elif (match := _SLURM.search(text)) is not None:
        attributes.update(
            job_id=match["job"] or match["job2"], node=match["node"], task=match["task"]
        )
        role = CONFIRMATION
    else:
        match = _RAY.search(text) or _KUBERNETES.search(text) or _PYTHON.search(text)
        if match is not None and match.re is _KUBERNETES:
            role = CONFIRMATION
        if match is None or (match.re is _PYTHON and not begins(text, match.start())):
            return None
    return found("oom", CRITICAL, "oom", match.start(), role, attributes)


def _happened(text: str, match: re.Match[str]) -> bool:
    """Whether *match* is of an error, and neither a count of none nor what only speaks of it."""
    before = text[max(0, match.start() - 200) : match.start()]
    return not _NONE.match(text, match.end()) and not _SPEAKS.search(before)


def _advises(text: str, at: int) -> bool:
    """Whether what stands before speaks of what may happen; after `Error: ` it has happened."""
    return not begins(text, at) and _ADVICE.search(text[max(0, at - 200) : at]) is not None
