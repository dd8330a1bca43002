"""Checkpoints that are saved or loaded: beginnings and ends, by each trainer's words.

    saving checkpoint at iteration     100 to /ckpt in torch_dist …    checkpoint_save_start
    scheduled an async checkpoint save at iteration     100 to /ckpt   … {async}
    Saving a full checkpoint at last step, step 644.                   checkpoint_save_start
    Epoch 0, global step 100: … saving model to '/c/step=100.ckpt' as  checkpoint_save_start
    [Torch] Checkpoint global_step100 is about to be saved!            checkpoint_save_start
    successfully saved checkpoint from iteration     845 to /ckpt      checkpoint_save_end
    Finished saving the checkpoint in 1.20 seconds.                    … {duration_ms, duration_s}
    Model checkpoint of size 16.06 GiB saved to /ckpt/epoch_0          … {size_gb}
    Global Checkpoint Save : Rank : 0 : Iteration : 100 : … Save duration : 1.38s
    Saved a checkpoint at step 100.                                    checkpoint_save_end
    Failed to save checkpoint at step 100: No space left on device     … {status: failed, reason}
    successfully loaded checkpoint from /ckpt [ t 1/1, p 1/1 ] at …    checkpoint_load {phase: end}
    Restoring states from the checkpoint path at /ckpt                 … {phase: start}

The sentence must begin where a message can begin, and go on as such a message does: advice
(`try saving checkpoint less often`) and settings (`Saving checkpoint every 500 steps`) are none.

Attributes: iteration, path, duration_ms and duration_s (one duration in the two units that those
who ask use), size_gb, async (True where the line says so), phase of a load (`start` or `end`); of a
save that failed, which is its end too, status (`failed`) and reason.
What the line does not say is absent.
"""

import re
from itertools import islice
from typing import Any

from heliograph.training import clean
from heliograph.training.findings.event import (
    ERROR,
    INFO,
    ROOT,
    TRIES_MAX,
    Event,
    Found,
    begins,
    cut,
    found,
)
from heliograph.training.findings.patterns import compiled
from heliograph.training.findings.sentences import CELLS, MEANING, SENTENCE

HINT = (
    r"(?i:checkpoint|ckpt|sav(?:ed|ing) (?:\w+ ){0,3}(?:model|state|weights))|_states\.pt|"
    r"successfully saved|local_global_step_folder|[Rr]esum(?:ing|ed) (?:training )?from|"
    r"[Cc]ontinuing training from"
)
RULES = (*MEANING, "save_failed")
PATH_CHARS_MAX = 1024
# What a sentence says stands near it.
REST_CHARS_MAX = 2048

_FAILED = compiled(r"\b(?:fail(?:ed|ure|s)|error|could not|cannot|unable)\b", re.IGNORECASE)
_SAVE_FAILED = compiled(
    r"\b(?:failed to|failure to|unable to|could not|cannot|can't) "
    r"(?:save|write|upload|persist|finalize) (?:[\w-]+ ){0,4}?(?:checkpoints?|ckpt)\b"
    r"|\b(?:failed|failure|error|exception)(?: occurred)?(?: while| when| in| during)?:? "
    r"(?:sav|writ|upload|persist|finaliz)ing (?:[\w-]+ ){0,4}?(?:checkpoints?|ckpt)\b"
    r"|\b(?:[\w-]+ )?checkpoint (?:sav(?:e|ing)|writ(?:e|ing)|upload(?:ing)?|finalization) "
    r"(?:has |was )?failed\b"
    r"|\bsaving (?:the |an? )?checkpoint (?:has )?failed\b"
    r"|\bsaving (?:the |an? )?checkpoint(?=.{1,160}? failed: )",
    re.IGNORECASE,
)
_ITERATION = compiled(
    r"\b(?:iteration|step|updates?)(?:\s*[:=]\s*|\s+)(\d{1,18})\b|@ (\d{1,18}) (?:updates|steps)",
    re.IGNORECASE,
)
_ITERATION_IN_PATH = compiled(
    r"(?:checkpoint[-_](?:\d{1,9}_(?=\d))?|(?:global_)?step[-_=]?|iter_|-ba)(\d{1,18})(?!\d)"
)
_PATH_END = (
    r"(?=['\"`]?(?:\s+\[|\s+in \w+ format|,?\s+(?:in|took) \d|,?\s+took\b|"
    r"\s+at (?:iteration|step|epoch)\b|\s+as (?:top|last)\b|\s+\(|"
    r"['\"`][.,]?\s|[.,;]{0,3}\s*\Z|\.\s+(?=[A-Z])|[,;]\s))"
)
_SAVED_PATH = compiled(
    rf"\b(?:to|checkpoint at):?\s+['\"`]?(\S.*?){_PATH_END}|\bin\s+(?=\S*/)(\S+?){_PATH_END}"
)
_LOADED_PATH = compiled(
    rf"\b(?:path at|checkpoint at|folder|checkpoint(?=:)):?\s+['\"`]?(\S.*?){_PATH_END}"
    r"|\bfrom:?\s+(?!the |latest |checkpoint:?\s|this run's |(?:global )?(?:step|iteration|epoch) \d)"
    rf"['\"`]?(\S.*?){_PATH_END}"
)
_BARE_PATH = compiled(
    r"\A[:\s]\s*(?:@ |for checkpoint_id=\w*\(checkpoint_id=|for (?:checkpoint_)?id=)?['\"`]?(/\S+?|[a-z]\w+://\S+?|\w[\w.=-]*/\S+?|[\w.-]*global_step\d+\S*?)"
    r"(?=['\"`]?(?:[.,!]*\s|[.,!]*\Z|, \w+=))"
)
_DURATION = compiled(
    r"\b(?:took|in|(?:[Ss]ave )?duration ?:|time taken:?|elapsed(?: time)?:?)\s*"
    r"(\d+(?:\.\d*)?)\s*(ms|milliseconds?|s|secs?|seconds?|min|minutes?)\b",
    re.IGNORECASE,
)
# What says how long it took has been done.
_TOOK = compiled(r"\A(?:(?!\b(?:last|previous|prev)\b).)*\btook \d", re.IGNORECASE)
_SIZE = compiled(r"\b(?:of size|size:?|\()\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\b", re.IGNORECASE)
_GB = {"k": 2.0**-20, "m": 2.0**-10, "g": 1.0, "t": 1024.0}
_MS = {"m": 60_000.0, "s": 1000.0}


def read(text: str) -> Found | None:
    """The save or load that *text* tells, or None."""
    for match in islice(SENTENCE.finditer(text), TRIES_MAX):
        rule = str(match.lastgroup)
        meaning = MEANING[rule]
        if rule not in CELLS and not clean.begins(text, match.start()):
            continue
        rest = text[match.end() : match.end() + REST_CHARS_MAX]
        if _FAILED.search(rest):
            break
        kind = meaning.event_type
        if kind == "checkpoint_save_start" and _TOOK.search(rest):
            kind = "checkpoint_save_end"
        attributes = {**_attributes(kind, match, rest), **meaning.attributes}
        event = Event(kind, INFO, attributes)
        return Found(event, match.start(), meaning.framework, f"event_{rule}")
    return _failed(text)


def _failed(text: str) -> Found | None:
    match = _SAVE_FAILED.search(text)
    if match is None or not begins(text, match.start()):
        return None
    rest = text[match.end() : match.end() + REST_CHARS_MAX]
    told, _, reason = rest.partition(": ")
    said = _attributes("checkpoint_save_end", match, told.removesuffix(" failed"))
    said |= {"status": "failed", "reason": cut(reason)}
    return found("checkpoint_save_end", ERROR, "save_failed", match.start(), ROOT, said)


def _attributes(kind: str, match: re.Match[str], rest: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    sentence = match[0] + rest
    duration = _DURATION.search(sentence)
    if duration is not None:
        ms = round(float(duration[1]) * _scale_ms(duration[2].lower()), 3)
        result["duration_ms"], result["duration_s"] = ms, round(ms / 1000, 6)
    size = _SIZE.search(sentence)
    if size is not None:
        result["size_gb"] = round(float(size[1]) * _GB[size[2][0].lower()], 4)
    path = _path(kind, rest)
    iteration = _ITERATION.search(sentence)
    if iteration is None and "lobal step" in match.string[: match.start()]:
        iteration = _ITERATION.search(match.string)
    if iteration is not None:
        result["iteration"] = int(iteration[1] or iteration[2])
    elif named := _ITERATION_IN_PATH.findall(sentence if path is None else path):
        result["iteration"] = int(named[-1])
    if path is not None and len(path) <= PATH_CHARS_MAX:
        result["path"] = path
    return result


def _path(kind: str, rest: str) -> str | None:
    pattern = _LOADED_PATH if kind == "checkpoint_load" else _SAVED_PATH
    match = _BARE_PATH.search(rest) or pattern.search(rest)
    return match[match.lastindex or 1] if match is not None else None


def _scale_ms(unit: str) -> float:
    return 1.0 if unit.startswith(("ms", "milli")) else _MS[unit[0]]
