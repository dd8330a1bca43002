"""Collective communication that failed or did not come to its end: NCCL, RCCL, HCCL, gloo.

    [rank118]:[E603 … ProcessGroupNCCL.cpp:632] [Rank 14] Watchdog caught collective operation
        timeout: WorkNCCL(SeqNum=2398459, OpType=ALLREDUCE, NumelIn=8652160, NumelOut=8652160,
        Timeout(ms)=1800000) ran for 1800068 milliseconds before timing out.       nccl_timeout
    [PG ID 0 PG GUID 0(default_pg) Rank 118]  failure detected by watchdog at work sequence id:
        2398459 PG status: last enqueued work: 2398578, last completed work: 2398458
    RuntimeError: NCCL error in: …, unhandled system error, NCCL version 2.21.5      nccl_error
    node:486514:486651 [1] include/socket.h:403 NCCL WARN Connect to 10.1.1.7<56821> failed : …

Attributes: rank (global: of the launcher's `[rank118]:`, else the watchdog's own where it names no
other group), pg_rank (in the group), group, group_id; seq_num, op_type, numel_in, numel_out,
timeout_ms, ran_ms, last_enqueued, last_completed, watchdog_stuck_s; of an error, error (NCCL's name
of it, or its words), nccl_version, host, pid, gpu, hca, port, peer; backend.

A time-out is a cascade: the rank that reports it waited for one that did not come.
"""

import re
from typing import Any

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
    r"collective operation timeout|watchdog (?:got stuck|thread terminated)|"
    r"detected by watchdog|(?:NCCL|collective) work:|Heartbeat monitor timed out|"
    r"NCCL operations have failed|(?i:[NR]CCL (?:error|failure|exception))|in blocking wait|"
    r"NCCL WARN|\bnccl(?:Unhandled|System|Internal|Remote|Invalid|InProgress)\w*|"
    r"\b[NR]CCL communicator was aborted|setting up NCCL communicator|monitoredBarrier|"
    r"unhandled (?:cuda|hip|system) error|dump signal (?:from another|due to)|"
    r"[Gg]loo.{0,200}(?:[Tt]imed out|[Tt]imeout|(?:closed|reset) by peer|"
    r"refused|unreachable)|ProcessGroup\w+ watchdog hang|collective timeout or exception|"
    r"store based barrier on rank|seconds waiting for clients|"
    r"ms for (?:recv|send) operation|"
    r"no heartbeat of its watchdog|"
    r"taking the entire process down|(?i:\bhccl.{0,40}(?:error|failed|timeout))|\bEI\d{4}: "
)
RULES = ("nccl_timeout", "nccl_error", "nccl_warn")

_PG = compiled(
    r"\[(?:PG (?:ID )?(?P<group_id>\d+)(?: PG GUID (?P<guid>[^\s(\]]+)(?:\((?P<group>[^)]*)\))?)? )?"
    r"Rank (?P<rank>\d{1,7})\]"
)
_GLOBAL = compiled(r"\[rank(\d{1,7})\]")
_TIMEOUTS = compiled(
    r"Watchdog caught collective operation timeout|watchdog caught collective operation timeout"
    r"|detected by watchdog at work(?: sequence id)?: |Timeout at (?:NCCL|collective) work:"
    r"|watchdog got stuck for \d+ seconds|Heartbeat monitor timed out!"
    r"|dump signal due to a collective timeout|dump signal from another (?:local )?rank"
    r"|(?:failed to pass|[Tt]imed out in) monitoredBarrier|monitoredBarrier, but received errors"
    r"|due to (?:ProcessGroup\w+ watchdog hang|collective timeout or exception)"
    r"|\bdetected no heartbeat of its watchdog"
    r"|Timed out initializing process group in store based barrier on rank: \d+"
    r"|Timed out after \d+ seconds waiting for clients\."
    r"|Timed out waiting \d+ms for (?:recv|send) operation"
    r"|\bEI\d{4}: .{0,200}?\btimes? ?out\b"
    r"|timed out in blocking wait|[Gg]loo\S*\s.{0,120}?(?:[Tt]imed out waiting|Timeout)"
)
_FOLLOWS = (
    *("thread terminated with exception", "Original reason", "dump signal", "what()"),
    *("watchdog hang", "no heartbeat of", "collective timeout or exception"),
)
_WORK = compiled(r"\bWork\w*\((?P<inside>(?:[^()]+|\([^()]*\))*)")
_IN_WORK = {
    "seq_num": compiled(r"\bSeqNum=(\d+)"),
    "op_type": compiled(r"\bOpType=(\w+)"),
    "numel_in": compiled(r"\bNumelIn=(\d+)"),
    "numel_out": compiled(r"\bNumelOut=(\d+)"),
    "timeout_ms": compiled(r"\bTimeout\(ms\)=(\d+)"),
}
_SAID = {
    "ran_ms": compiled(r"\bran for (\d+) mil"),
    "seq_num": compiled(
        r"\b(?:by watchdog at work(?: sequence id)?|Timeout at (?:NCCL|collective) work): (\d+)"
    ),
    "last_enqueued": compiled(r"\b[Ll]ast enqueued(?: NCCL)? work: (-?\d+)"),
    "last_completed": compiled(r"\b[Ll]ast completed(?: NCCL)? work: (-?\d+)"),
    "watchdog_stuck_s": compiled(r"\bgot stuck for (\d+) seconds"),
    "timeout_ms": compiled(r"\bmonitoredBarrier in (\d+) ms|\bTimed out waiting (\d+)ms"),
}
_LATE = compiled(
    r"\b[Rr]anks? (\d+(?:, ?\d+)*) failed to pass monitoredBarrier"
    r"|\bmonitoredBarrier, but received errors while waiting for send/recv from rank (\d+)"
)
_LEADER = "0"
_OF_GLOO = ("monitoredBarrier", "ms for recv operation", "ms for send operation")
# What ranks meet at before they have a backend.
_STORE = compiled(r"\bstore based barrier(?: on rank: (\d{1,7}))?|\bwaiting for clients\b")
_HCCL = compiled(r"\bEI\d{4}: |(?i:hccl)")

_NAMED = compiled(
    r"\bnccl(?P<kind>UnhandledCudaError|UnhandledHipError|SystemError|InternalError|RemoteError|"
    r"InvalidUsage|InvalidArgument)\b"
)
_ERRORS = compiled(
    r"\b[NRH]CCL [Ee]rror(?: \d+| in:|:)|\b(?:call hccl api|[Hh]ccl\w* api) failed\b"
    r"|\bfunction error: Hccl\w+, error code is \d+"
    r"|\b[NR]CCL (?:failure|exception)\b"
    r"|\b[NR]CCL communicator was aborted|\bis setting up NCCL communicator\b.{0,200}\bgot error:"
    r"|\bunhandled (?:cuda|hip|system) error(?=[^\n]{0,60}\b[NR]CCL)"
    r"|\bSome [NH]CCL operations have failed or timed out|\btaking the entire process down\b"
    r"|\bEI\d{4}: "
    r"|\bwatchdog thread terminated with exception: (?=NCCL)"
    r"|\bgloo/\S+\.(?:cc|h):\d+\] .{0,80}?\b(?:closed|reset) by peer\b"
    r"|\bGloo connectFullMesh failed with\b.{0,300}?\b(?:timed out|refused|reset by|unreachable)\b"
)
_WORDS = compiled(
    r"\b(unhandled (?:cuda|hip|system) error|internal error|"
    r"remote process (?:exited|has exited)[^,(]*|"
    r"invalid (?:usage|argument)|[Cc]onnection (?:reset|closed|refused)[^,.(\[]*|"
    r"communicator was aborted)"
)
_VERSION = compiled(r"\b[NR]CCL version (\d[\w.+-]*\w)")
_WARN = compiled(
    r"(?:(?P<host>[\w.-]+):(?P<pid>\d+):(?P<thread>\d+) )?\[(?P<gpu>\d+)\] "
    r"(?:(?P<place>\S+:\d+)(?: \(\w+\))? )?NCCL WARN (?P<message>.*)|\bNCCL WARN (?P<message2>.*)"
)
_HCA = compiled(
    r"\b((?:mlx[45]|bnxt_re|irdma|ionic|rdmap|efa|hfi1|rocep)[\w]*?)(?::(\d+))?(?=[\s,:/\])]|\Z)"
)
_PEER = compiled(r"\b(\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]{4,39})<(\d+)>")
# NCCL warns of settings too; with these words something has failed.
_FAILS = compiled(
    r"\b(?:fail(?:ed|ure)|error|abort(?:ed)?|timed? ?out|closed|refused|reset by peer|fatal|"
    r"[Cc]ould not (?:allocate|connect|bind|create)|unreachable|mismatch|lost|broken|invalid|"
    r"unhandled|corrupt\w*|exceed\w*|status=[1-9]\d*)\b",
    re.IGNORECASE,
)
_SETTING = compiled(
    r"\b(?:NUMA auto balancing|iommu=pt|[Mm]issing \"|[Mm]issing iommu|kernel command line|ACS|"
    r"disabl\w+ by|deprecated|not supported|ignor(?:ed|ing)|will be used|falling back|fallback|"
    r"[Cc]ould not find|environment variable|set (?:to \S+ )?by environment|recommend\w*|Plugin)\b",
    re.IGNORECASE,
)
_NONE = compiled(r"\s*counts?\s*[:=]\s*0\b")
_PEERS_END = compiled(
    r"\b(?:remote|peer|[Cc]onnect(?:ion)? (?:to|closed|reset|refused)|from another rank)\b"
)


def read(text: str) -> Found | None:
    """The failure of a collective that *text* tells, or None."""
    match = _TIMEOUTS.search(text)
    if match is not None:
        return _timeout(text, match.start())
    match = _WARN.search(text)
    if match is not None:
        return _warning(match)
    return _error(text)


def _timeout(text: str, at: int) -> Found:
    # "failure detected by watchdog" comes of the same time-out, a moment later.
    follows = any(words in text[:at] or words in text[at : at + 60] for words in _FOLLOWS)
    attributes = {**_who(text), **_work(text)}
    # Only gloo has these; its errors are printed without its name.
    gloo = "gloo" in text[: at + 8].lower() or any(words in text for words in _OF_GLOO)
    hccl = _HCCL.search(text) is not None
    store = _STORE.search(text)
    named = "store" if store else "gloo" if gloo else "hccl" if hccl else "nccl"
    attributes["backend"] = named
    if store is not None and store[1]:
        attributes["rank"] = int(store[1])
    late = _LATE.search(text)
    if late is not None and late[2] == _LEADER:
        # Rank 0 asks all the others, and goes when one of them does not answer.
        late = None
    if late is not None:
        # This one names who did not come.
        attributes["missing_ranks"] = [
            int(rank) for rank in re.findall(r"\d{1,7}", late[1] or late[2])
        ]
    role = ROOT if late is not None else CONFIRMATION if follows else CASCADE
    return found("nccl_timeout", CRITICAL, "nccl_timeout", at, role, attributes)


def _who(text: str) -> dict[str, Any]:
    """Of two ranks on a line the launcher's is the global one, the other the group's."""
    result: dict[str, Any] = {}
    match = _PG.search(text)
    told = _GLOBAL.search(text)
    if match is not None:
        rank = int(match["rank"])
        result["group"] = match["group"]
        result["group_id"] = number(match["group_id"])
        result["pg_rank"] = rank
        default = match["group_id"] in {None, "0"} or match["group"] == "default_pg"
        if told is None and default:
            result["rank"] = rank
    if told is not None:
        result["rank"] = int(told[1])
    return result


def _work(text: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    work = _WORK.search(text)
    if work is not None:
        for name, pattern in _IN_WORK.items():
            match = pattern.search(work["inside"])
            if match is not None:
                result[name] = match[1] if name == "op_type" else int(match[1])
    for name, pattern in _SAID.items():
        match = pattern.search(text)
        if match is not None:
            result.setdefault(name, int(match[match.lastindex or 1]))
    return result


def _error(text: str) -> Found | None:
    match = _ERRORS.search(text)
    named = _NAMED.search(text)
    if match is None and (named is None or not _is_told(text, named)):
        return None
    at = match.start() if match is not None else named.start() if named is not None else 0
    attributes = _who(text)
    words = _WORDS.search(text, at)
    attributes["error"] = named[0] if named else cut(words[1]) if words else None
    version = _VERSION.search(text)
    attributes["nccl_version"] = version[1] if version else None
    if _HCCL.search(text, at):
        attributes["backend"] = "hccl"
    role = ROOT
    if any(
        words in text for words in ("aborted", "operations have failed", "entire process down")
    ):
        role = CONFIRMATION
    elif _PEERS_END.search(text, at) or (named and named["kind"] == "RemoteError"):
        role = CASCADE
    return found("nccl_error", CRITICAL, "nccl_error", at, role, attributes)


def _is_told(text: str, named: re.Match[str]) -> bool:
    """Whether NCCL's name of an error stands as one: `ncclSystemError: System call failed`."""
    return text[named.end() : named.end() + 1] in {":", ""} or begins(text, named.start())


def _warning(match: re.Match[str]) -> Found | None:
    message = match["message"] or match["message2"] or ""
    fails = _FAILS.search(message) is not None
    settings = _SETTING.search(message) or _NONE.match(message) or not message.strip()
    if not fails and settings:
        return None
    if fails and _SETTING.search(message) and not re.search(r"\berror\b|\bfailed\b", message):
        return None
    attributes: dict[str, Any] = {
        "host": match["host"],
        "pid": number(match["pid"]),
        "gpu": number(match["gpu"]),
        "place": match["place"],
        "message": cut(message),
    }
    hca = _HCA.search(message)
    if hca is not None:
        attributes.update(hca=hca[1], port=number(hca[2]))
    peer = _PEER.search(message)
    if peer is not None:
        attributes["peer"] = f"{peer[1]}:{peer[2]}"
    role = CASCADE if _PEERS_END.search(message) else ROOT
    severity = ERROR if fails else WARNING
    if "non-fatal" in message:
        severity = WARNING
    return found("nccl_error", severity, "nccl_warn", match.start(), role, attributes)
