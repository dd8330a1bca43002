"""Processes that failed, by the word of launchers, runtimes, the kernel and CUDA or HIP.

    E0501 … api.py:881] failed (exitcode: -11) local_rank: 0 (pid: 222) of binary: /usr/bin/python
    traceback : Signal 11 (SIGSEGV) received by PID 223
    [ERROR] [launch.py:322:sigkill_handler] ['python', …] exits with return code = -9
    srun: error: node7: task 3: Segmentation fault (core dumped)
    mpirun noticed that process rank 3 with PID 1234 on node n1 exited on signal 9 (Killed).
    python[4242]: segfault at 0 ip … in libnccl.so.2
    Memory access fault by GPU node-1 (Agent handle: 0x55…) on address 0x7f…. Reason: …
    RuntimeError: CUDA error: an illegal memory access was encountered
    Unable to shutdown process 227 via Signals.SIGTERM, forcefully exiting via …       cascade

Attributes of `process_failed`: exitcode, signal, rank, local_rank, pid, node, task, job_id, binary,
process, library, backend, gpu_node, address, reason, attempts_left. A shell's bare `Killed` is none.
"""

from typing import Any

from heliograph.training.findings import signals
from heliograph.training.findings.event import (
    CASCADE,
    CONFIRMATION,
    CRITICAL,
    ERROR,
    ROOT,
    WARNING,
    Found,
    begins,
    cut,
    found,
    number,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"exitcode: ?-?\d|Signal \d+ \(SIG|return code = |exited on signal|ChildFailedError|"
    r"exit status (?:[1-9]|0x)|\bsegfault at|general protection|"
    r"(?i:segmentation fault|bus error|core dumped|caught signal \d|illegal instruction \()|"
    r"free\(\): |double free or|corrupted (?:size|double)|malloc\w*\(\): |munmap_chunk\(\): |"
    r"Fatal Python error|Memory access fault by GPU|Memory critical error by|"
    r"HW Exception by GPU|HSA_STATUS_ERROR|Memory Fault Error|"
    r"(?:CUDA|HIP|CUBLAS|cuDNN|CUDNN|NPU|Triton) (?:driver |kernel |runtime )?[Ee]rror|"
    r"CUBLAS_STATUS_|CUDNN_STATUS_|"
    r"srun: error: |terminated with (?:signal|exit code)|what\(\): |terminate called|"
    r"via Signals\.|Killing subprocess|closing signal|death signal|received SIG|Received SIG|"
    r"Worker group FAILED|got signal: |Job step aborted|exit code [1-9]|Signal: \w+|"
    r"NODE FAIL|Node failure|worker died or was killed|worker process has died|"
    r"srun: (?:Force )?Terminat|\bline \d+: +\d+ \w+|"
    r"device-side assert|illegal memory access"
)
RULES = ("launcher", "signal", "fault", "accelerator", "stopped", "job_step")

_LAUNCHER = (
    compiled(
        r"\bfailed \(exitcode: ?(?P<exitcode>-?\d+)\) local_rank: (?P<local_rank>\d+) "
        r"\(pid: (?P<pid>\d+)\)(?: of binary: (?P<binary>\S+))?"
    ),
    compiled(r"\bexits with return code = (?P<exitcode>-?[1-9]\d*)"),
    compiled(
        r"\bprocess rank (?P<rank>\d+) with PID (?P<pid>\d+) on node (?P<node>\S+) "
        r"exited on signal (?P<number>\d+)"
    ),
    compiled(
        r"\bprocess (?P<local_rank>\d+) terminated with (?:signal (?P<words>\w+)|"
        r"exit code (?P<exitcode>[1-9]\d*))"
    ),
    compiled(r"\bWorker group FAILED\.(?: (?P<left>\d+)/\d+ attempts left)?(?P<words2>)"),
    compiled(r"\berrors\.ChildFailedError(?=:?\s*(?:\Z|\n))|\A\s*ChildFailedError\b"),
    compiled(
        r"\b(?:[Pp]rocess|[Ww]orker|[Rr]ank) (?P<rank2>\d+)?\b.{0,40}? (?:exited|failed|finished) "
        r"with (?:non-?zero )?exit (?:code|status) (?P<exitcode>-?[1-9]\d*)"
    ),
    # Ray
    compiled(
        r"\bA worker died or was killed while executing(?:.{0,500}?\bWorker PID: (?P<pid>\d+))?"
    ),
    compiled(r"\bThe actor is dead because its worker process has died\b"),
    compiled(r"\b[Jj]ob entrypoint command failed with exit code (?P<exitcode>[1-9]\d*)"),
    # A shell, of what it ran.
    compiled(
        r": line \d+:\s+(?P<pid>\d+) (?P<words>Killed|Terminated|Aborted|Segmentation fault|"
        r"Bus error|Floating point exception|Illegal instruction)\b"
    ),
)
_SRUN = compiled(
    r"\bsrun: error: (?P<node>[\w.,\[\]-]+): tasks? (?P<task>[\d,\[\]-]+): "
    r"(?:(?P<words>Segmentation fault|Killed|Terminated|Aborted|Bus error|Floating point exception|"
    r"Illegal instruction)|Exited with exit code (?P<exitcode>[1-9]\d*))"
)
_LAUNCH = compiled(
    r"\bsrun: error: Task launch for (?:StepId=)?(?P<job>\d+)\.(?P<step>\w+) failed on node "
    r"(?P<node>[\w.-]+): (?P<reason>.*)"
)
_SIGNAL = compiled(
    r"\bSignal (?P<number>\d+) \((?P<words>SIG\w+)\) received by PID (?P<pid>\d+)"
    r"|\bFatal Python error: (?P<words2>Segmentation fault|Aborted|Bus error|"
    r"Floating point exception|Illegal instruction)"
    r"|\bCaught signal (?P<number2>\d+) \((?P<reason>[^)]*)\)"
    r"|\bSignal: (?P<words3>Segmentation fault|Aborted|Bus error|Floating point exception) \(\d+\)"
    r"|(?:\A|[\s:])(?P<words4>Segmentation fault|Bus error|Aborted|Floating point exception|"
    r"Illegal instruction)\s+\(core dumped\)"
    r"|(?:\A|:\s*|\]\s*)(?P<words5>Segmentation fault)\s*\Z"
    r"|\b(?P<process>[\w.:/-]+)\[(?P<pid2>\d+)\]: (?P<kernel>segfault) at (?P<address>[0-9a-f]+) "
    r"ip(?: .{0,120}? in (?P<library>[^\[\s]+))?"
    r"|\btraps: (?P<process2>[\w.:/-]+)\[(?P<pid3>\d+)\](?: trap)? "
    r"(?P<kernel2>general protection|invalid opcode|divide error)"
)
_FAULT = compiled(
    r"\bMemory (?:access fault by GPU|critical error by agent) node-(?P<gpu_node>\d+) "
    r".{0,60}?\bon address (?P<address>0x\w+)"
    r"(?:\.\s*Reason: (?P<reason>.*))?"
    r"|\bHW Exception by GPU node-(?P<gpu_node2>\d+) .{0,60}?\breason ?:\s*(?P<reason2>.*)"
    r"|\b(?P<hsa2>Memory Fault Error) \[host: [^,]*, GPU index: (?P<gpu>\d+), "
    r"faulting addr: (?P<address2>0x\w+)"
    r"|\b(?:aborting with error : )?(?P<hsa>HSA_STATUS_ERROR\w*)(?::\s*(?P<reason3>[^.]*))?"
)
_ACCELERATOR = compiled(
    r"\b(?P<backend>CUDA|HIP|NPU)(?: (?:driver|kernel|runtime))? error(?: \d+)?"
    r"(?:: (?!0\b|no error|success)(?P<reason>[^\n]*)|, error code is (?P<code>[1-9]\d*))"
    r"|\b(?P<status>(?:CUBLAS|CUDNN|CUSOLVER|HIPBLAS|ROCBLAS|MIOPEN)_STATUS_(?!SUCCESS)\w+)"
    r"|\b(?P<assert>device-side assert(?: triggered)?|an illegal memory access was encountered)"
)
# What the C library says before it aborts.
_HEAP = compiled(
    r"(?P<reason>free\(\): (?:invalid|double)[\w ]+|"
    r"double free or corruption \([\w!]+\)|corrupted (?:size vs\. prev_size|double-linked list)|"
    r"malloc(?:_consolidate)?\(\): [\w ]+|"
    r"munmap_chunk\(\): invalid pointer)"
)
_STOPPED = (
    compiled(
        r"\bUnable to shutdown process (?P<pid>\d+) via (?P<words>Signals\.\w+)"
        r"|\bSending process (?P<pid2>\d+) closing signal (?P<words2>\w+)"
        r"|\bReceived (?P<words3>(?:Signals\.)?SIG\w+|\d+)(?: death)? signal, shutting down"
        r"|\bKilling subprocess (?P<pid3>\d+)"
        r"|\b(?:Main process|Process|Worker|Rank|rank|process)\b.{0,40}? received (?P<words4>SIG\w+)"
        r"|\b[Rr]eceived (?P<words5>SIG(?:TERM|INT|KILL|HUP))\b(?=[\s,.:!]|\Z)"
        r"|\bProcess \d+ got signal: (?P<number>\d+)"
    ),
    compiled(
        r"\bJob step aborted: Waiting up to \d+ seconds"
        r"|\bsrun: (?:Terminating|Force Terminated) (?:job step |StepId=)\d+"
    ),
)
_ABORT = compiled(
    r"\bterminate called (?:after throwing an instance of '(?P<exception>[^']*)'|"
    r"without an active exception)"
)
_WHAT = compiled(r"(?:\A|[\]:.])\s*what\(\):\s+(?P<reason>.*)")
_NODE = compiled(
    r"\bNode failure on (?P<node>[\w.-]+)|\bON (?P<node2>\S+) .{0,60}?DUE TO NODE FAIL\w*",
)
_JOB = compiled(r"\b(?:JOB|STEP|[Jj]ob(?:Id)?[= ]) ?(\d+)")


def read(text: str) -> Found | None:
    """The failure of a process that *text* tells, or None."""
    return (
        _by_launcher(text)
        or _by_signal(text)
        or _by_accelerator(text)
        or _stopped(text)
        or _aborted(text)
    )


def _by_launcher(text: str) -> Found | None:
    for pattern in (_SRUN, *_LAUNCHER):
        match = pattern.search(text)
        if match is None:
            continue
        said = match.groupdict()
        code = number(said.get("exitcode"))
        signal = _signal(said) or (signals.of_exitcode(code) if code is not None else None)
        attributes = {
            "exitcode": code,
            "signal": signal,
            "rank": number(said.get("rank") or said.get("rank2")),
            "local_rank": number(said.get("local_rank")),
            "pid": number(said.get("pid")),
            "node": said.get("node"),
            "task": said.get("task"),
            "binary": said.get("binary"),
            "attempts_left": number(said.get("left")),
        }
        role = signals.role(signal, CONFIRMATION)
        severity = WARNING if said.get("left") not in {None, "0"} else CRITICAL
        return found("process_failed", severity, "launcher", match.start(), role, attributes)
    launch = _LAUNCH.search(text)
    if launch is not None:
        said = {
            "node": launch["node"],
            "reason": cut(launch["reason"]),
            "job_id": launch["job"],
        }
        return found("process_failed", CRITICAL, "launcher", launch.start(), ROOT, said)
    node = _NODE.search(text)
    if node is None:
        return None
    job = _JOB.search(text)
    attributes = {
        "node": node["node"] or node["node2"],
        "reason": "node_failure",
        "job_id": job[1] if job else None,
    }
    return found("process_failed", CRITICAL, "launcher", node.start(), ROOT, attributes)


def _signal(said: dict[str, Any]) -> str | None:
    """The signal of a match's groups, by number or by words."""
    for name, value in said.items():
        if value and name.startswith("number"):
            return signals.of_number(int(value))
        if value and name.startswith("words"):
            # `Received 15 death signal`
            return signals.of_number(int(value)) if value.isdecimal() else signals.named(value)
    return None


def _by_signal(text: str) -> Found | None:
    heap = _HEAP.search(text)
    if heap is not None and begins(text, heap.start()):
        aborts = {"signal": "SIGABRT", "reason": heap["reason"].rstrip()}
        return found("process_failed", CRITICAL, "signal", heap.start(), ROOT, aborts)
    match = _SIGNAL.search(text)
    if match is None:
        return None
    said = match.groupdict()
    signal = _signal(said)
    if said["kernel"] or said["kernel2"]:
        signal = "SIGILL" if said["kernel2"] == "invalid opcode" else "SIGSEGV"
    attributes = {
        "signal": signal,
        "pid": number(said["pid"] or said["pid2"] or said["pid3"]),
        "process": said["process"] or said["process2"],
        "library": said["library"],
        "address": said["address"],
        "reason": said["reason"],
    }
    role = signals.role(signal)
    return found("process_failed", CRITICAL, "signal", match.start(), role, attributes)


def _by_accelerator(text: str) -> Found | None:
    match = _FAULT.search(text)
    if match is not None:
        reason = match["reason"] or match["reason2"] or match["reason3"] or ""
        attributes: dict[str, Any] = {
            "backend": "hip",
            "gpu_node": number(match["gpu_node"] or match["gpu_node2"]),
            "gpu": number(match["gpu"]),
            "address": match["address"] or match["address2"],
            "error": match["hsa"] or match["hsa2"],
            "reason": cut(reason).rstrip("."),
        }
        return found("process_failed", CRITICAL, "fault", match.start(), ROOT, attributes)
    match = _ACCELERATOR.search(text)
    if match is None or (match["assert"] and not begins(text, match.start())):
        return None
    named = match["status"] or ""
    backend = match["backend"] or ("hip" if named.startswith(("HIP", "ROC", "MIO")) else "cuda")
    attributes = {
        "backend": backend.lower(),
        "error": named,
        "reason": cut(match["reason"] or match["assert"] or match["code"] or ""),
    }
    return found("process_failed", CRITICAL, "accelerator", match.start(), ROOT, attributes)


def _stopped(text: str) -> Found | None:
    """Processes that were stopped because another one had failed, or the job was to end."""
    for pattern in _STOPPED:
        match = pattern.search(text)
        if match is None:
            continue
        said = match.groupdict()
        pid = said.get("pid") or said.get("pid2") or said.get("pid3")
        attributes = {"signal": _signal(said), "pid": number(pid)}
        rule = "stopped" if said else "job_step"
        return found("process_failed", WARNING, rule, match.start(), CASCADE, attributes)
    return None


def _aborted(text: str) -> Found | None:
    match = _ABORT.search(text)
    if match is not None:
        attributes = {"signal": "SIGABRT", "exception": match["exception"]}
        return found("process_failed", ERROR, "signal", match.start(), CONFIRMATION, attributes)
    match = _WHAT.search(text)
    if match is None:
        return None
    attributes = {"reason": cut(match["reason"])}
    return found("process_failed", ERROR, "signal", match.start(), CONFIRMATION, attributes)
