"""Takes off a line what launchers, terminals and shippers put on it, and says what it told.

    0[[32m20251202 06:26:45[0m][[36mrank-7/8[0m][[1mINFO [0m] …     colours without their ESC byte
    [rank3]:[titan] 2025-12-13 06:45:34,345 - root - INFO - …        torchrun with named ranks
    [default0]: [2025-05-27 15:23:07] iteration …                    torchrun with a role
       1:  iteration …                                               srun -l
    node7: step: 30  loss: …                                         pdsh, and DeepSpeed with it
    [1,5]<stdout>: step: 30 …                                        mpirun --tag-output
    Nov 22 11:44:17 node7 python[1234]: step: 30 …                   syslog, journalctl
    2025-11-22T11:44:17.436123456Z  iteration …                      kubectl logs --timestamps

Kubernetes shippers drop the ESC byte, syslog writes it as `#033`, JSON written twice as `\\u001b`.
A code without any of these is taken off only when it can be nothing but a colour: `[4096x8192]`,
`[9074/5000000]`, `[5m]` and `[1m30s]` stay.
"""

import re
from typing import NamedTuple

# More than this is printed before no message; so far before the first key the rank can be named.
PREFIX_CHARS_MAX = 400
# The parameter of a colour (SGR) code without ESC: 0–107, as printed by terminals' libraries.
_SGR = r"(?:10[0-7]|\d{1,2})(?:;\d{1,3}){0,15}"
# `[0m]` closes a coloured word inside brackets; `[5m]` is a range and `[1m30s` a duration.
_BARE = rf"\[(?:{_SGR}m(?!\]|\d+s\b)|(?:0|22|24|27|39|49)m)"
_ESCAPED = (
    r"(?:\x1b|\\x1[bB]|\\u001[bB]|\\033|#033|\^\[)\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_BARE_CODES = re.compile(_BARE)
_CODES = re.compile(f"{_ESCAPED}|{_BARE}")
# A terminal's cursor goes back up from a bar that was drawn below another.
_UP = "\x1b[A"
BELOW = "\v"
_ESCAPES = ("\x1b", "\\x1", "\\u001", "\\033", "#033", "^[")
_RANK = re.compile(r"\[rank[-:_ ]{0,2}(\d{1,7})(?:/(\d{1,7}))?\]", re.IGNORECASE)
_ROLE = re.compile(r"\[([a-zA-Z_]{1,32}\d{1,7})\]:")
_TASK = re.compile(r"\s*(\d{1,7}):\s")
# `Rank 3: `, `rank=3 `, before anything else
_SAYS_RANK = re.compile(r"\s*rank(?: (\d{1,7}):|=(\d{1,7})[:,]?)\s", re.IGNORECASE)
# Of mpirun: its job, and the process within, which launches all ranks of a node or is one of them.
_PROCESS = re.compile(r"\[\d{1,7},(\d{1,7})\]<std(?:out|err)>")
_TIME_BEFORE = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\Z")
_TIME_IN_SENTENCE = re.compile(
    r"\b(?:at|on|since|until|till|from|by|before|after) (?:\d{4}[-/]\d\d[-/]\d\d[ T])?"
    r"\d\d:\d\d:\d\d\S{0,16}\Z"
)
_WORD_BEFORE = re.compile(r"(\w+)\s*\Z")
# A message may begin right after one of these; after any other word it is part of a sentence.
_LEVELS = frozenset({"INFO", "DEBUG", "WARNING", "WARN", "ERROR", "NOTICE"})
# What container runtimes put before a line, where the shipper left it there.
_CRI = (" stdout F", " stderr F")
_OPENINGS = "\"'`(=[{"
# What launchers and loggers put before a message, one part after another.
# NeMo Run's name of a task: `i.pretrain/0 `, cut to so many characters.
_RUN = r"(?!epoch|step|iter|batch)[a-z_][\w.-]{0,60}/\d{1,5}"
_RUN_NAME = re.compile(_RUN, re.IGNORECASE)
_HOST = r"[a-z][\w.-]{0,60}\d(?::\d{1,5})?|\d{1,3}(?:\.\d{1,3}){3}"
# A host and a program, between a time and what that says.
_SYSLOG = r" [\w.-]{1,60} [\w./-]{1,60}\[\d{1,9}\]:(?=\s)"
_PREFIX = re.compile(
    # `trainer-1  | ` is a compose file's service.
    # `node7: ` is a host, unless a number follows that is no time: `loss1: 2.3`.
    rf"(?:{_RUN}(?=\s)|[a-z0-9][\w.-]{{0,60}}-\d{{1,4}}(?=\s{{1,32}}\|\s)"
    rf"|(?:{_HOST}|rank \d{{1,7}}):(?=\s{{1,16}}(?:[^\s\d.+-]|\d{{4}}[-/]|\d\d[/:]|\d{{1,7}}:\s|\Z)))?"
    r"(?:\s{0,64}(?:"
    r"\[(?!(?:epoch|step|iter|batch)\b|\d{1,15}(?:, {1,8}\d{1,15})?\] )[^\[\]]{0,200}\]"
    r"(?::|<std(?:out|err)>:)?|(?:--?|\|)(?=\s)"
    r"|\([^()]{0,60}\bpid=[^()]{0,100}\)"
    r"|\d{1,7}:(?=\s)"
    r"|[IWEF]\d{4} [\d:.]{8,18}\s{1,8}\d{1,20} [^\s\]]{1,80}\]"
    r"|(?:INFO|DEBUG|WARNING|WARN|NOTICE)\b(?::[\w.]{1,80}:|:|\s[a-z][\w.]{0,60}(?=\s\w{1,40}=))?"
    r"|\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    rf"(?:{_SYSLOG})?"
    r"|\d\d/\d\d/\d{4},? \d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d\d[-/]\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|[\w.<>]{1,80}(?::[\w<>]{1,60}:\d{1,6})?(?= - )|[\w.]{1,80}(?::\d{1,6})?(?= >> )"
    r"|[\w.]{1,80}\.py:\d{1,6}\]?:?"
    r"|(?:stdout|stderr)(?: [FP]|:)(?=\s)"
    r"|>{1,3}|\#|:(?=\s)|\*|✨"
    rf"|(?:[a-z]{{3}} )?[a-z]{{3}} [ \d]\d \d\d:\d\d:\d\d(?: \d{{4}}:?|{_SYSLOG})?"
    r")){0,16}",
    re.IGNORECASE,
)
# What a log tool puts before a line, of words that a sentence may have too: it is one where a line
# of its own follows. stern's `trainer-x7k2p pytorch `, whose pod ends as Kubernetes ends the names of
# a set's; a host with its domain, as pdsh says it; a rank of somebody's own.
_TOOL = re.compile(
    r"(?:"
    # `checkpoint-500 saved …` is no pod.
    r"(?!(?:best|checkpoint|ckpt|epoch|iter|step)-\d)"
    r"[a-z0-9](?:[a-z0-9.-]{0,240}[a-z0-9])?-(?:\d{1,5}|[bcdfghj-np-tv-xz2456789]{5})"
    r" (?!(?:epoch|step|iter|iteration|batch) )[a-z0-9][a-z0-9-]{0,62}\s"
    # Behind a key stands its number; behind a host a time's, a rank's or a bar's.
    r"|[a-z][\w-]{0,62}(?:\.[a-z][\w-]{0,62}){1,8}:\s"
    r"(?=\s{0,16}(?:(?!nan\b|inf)[^\s\d.+-]|\d{4}[-/]|\d\d[/:]|\d{1,9}(?:[|%]|:\s)))"
    r"|rank=\d{1,7}[:,]?\s"
    r")"
)
# Ray tells once of what many said, and where to read of it.
_REPEATED = re.compile(
    r"\s?\[repeated \d{1,9}x across cluster\](?: \(Ray deduplicates [^\n]*)?\s*\Z"
)
# Rich puts where a line was logged in a column of its own.
_LOGGED_AT = re.compile(r"(?<=\S)\s{2,512}[\w.<>-]{1,80}\.py:\d{1,6}\s{0,64}\Z")
_LOGGED_AT_CHARS_MAX = 512


class Speaker(NamedTuple):
    """Who printed a line, by its own words.

    rank         global rank, where the line names one
    world_size   ranks in all, where the line says so
    label        what keeps ranks apart in one stream: the rank ("7"), else the launcher's name
                 for the task ("default0", "task1": local or arbitrary, no rank), else ""
    """

    rank: int | None
    world_size: int | None
    label: str


NOBODY = Speaker(None, None, "")


def uncolored(text: str) -> str:
    """*text* without terminal control sequences, whether or not their ESC byte survived.

    BELOW stands where the cursor went back up: what is before it was drawn below another bar.
    """
    if _UP in text:
        text = text.replace(_UP, BELOW)
    for escape in _ESCAPES:
        if escape in text:
            return _CODES.sub("", text)
    # The common case apart: a pattern that begins with a fixed character is searched fast.
    return _BARE_CODES.sub("", text) if "[" in text else text


def speaker(head: str) -> Speaker:
    """Who speaks in *head*, the cleaned text before the message.

    `[Rank 14]` of a process group stands after `[rank115]`: the first one named is the global.
    """
    if "log_dist]" in head:
        # DeepSpeed's `[Rank 0]` says who may print, of what all ranks share.
        return NOBODY
    match = _RANK.search(head)
    if match is not None:
        rank, world = int(match[1]), match[2]
        if world is None:
            return Speaker(rank, None, str(rank))
        if rank < int(world):
            return Speaker(rank, int(world), str(rank))
    match = _SAYS_RANK.match(head)
    if match is not None:
        rank = int(match[1] or match[2])
        return Speaker(rank, None, str(rank))
    match = _TASK.match(head) or _PROCESS.match(head)
    if match is not None:
        return Speaker(None, None, f"task{int(match[1])}")
    match = _ROLE.search(head)
    if match is not None:
        return Speaker(None, None, match[1])
    return NOBODY


def message_at(text: str) -> int:
    """Where the message begins in *text*, a cleaned line: after launchers' and loggers' parts."""
    match = _PREFIX.match(text)
    return match.end() if match is not None else 0


def told_at(text: str) -> int:
    """Where a line of its own may begin in *text*, a cleaned line, behind what a log tool put before
    it; 0 where none did."""
    word = text.partition(" ")[0]
    # Most lines are told apart without a search.
    if not ("-" in word or "." in word or "=" in word):
        return 0
    match = _TOOL.match(text)
    return match.end() if match is not None else 0


def without_end(text: str) -> str:
    """*text*, a cleaned line, without what Ray or rich put behind it."""
    if "x across cluster]" in text:
        text = _REPEATED.sub("", text)
    if ".py:" in text[-96:]:
        match = _LOGGED_AT.search(text, max(0, len(text) - _LOGGED_AT_CHARS_MAX))
        text = text if match is None else text[: match.start()]
    return text


def begins(text: str, at: int) -> bool:
    """Whether a message can begin at character *at* of *text*.

    True at the start, after a launcher's, logger's or bar's closing sign, and after a level
    name or a time; False inside a sentence, a quotation or a call.
    """
    before = text[:at].rstrip()
    if not before:
        return True
    last = before[-1]
    if last == "#":
        # Behind anything else it makes a remark of what follows.
        rest = before.rstrip("# ")
        if not rest or rest[-1] in "]>:":
            return True
        return at <= PREFIX_CHARS_MAX and message_at(text) >= len(before)
    if not (last.isalnum() or last == "_"):
        return last not in _OPENINGS
    word = _WORD_BEFORE.search(before[-16:])
    return (
        (word is not None and word[1] in _LEVELS)
        or before.endswith(_CRI)
        or (
            _TIME_BEFORE.search(before[-24:]) is not None
            and _TIME_IN_SENTENCE.search(before[-48:]) is None
        )
        or _RUN_NAME.fullmatch(before) is not None
    )
