"""Lines of keys and values without pipes, parted by blanks, commas or dashes.

    step: 530  loss:  5.9866  memory: 63.36GiB(45.35%)  tps: 1,829  mfu: 2.34%        torchtitan
    completed step: 4, seconds: 5.669, TFLOP/s/device: 134.884, loss: 11.110          MaxText
    epoch=0/micro_step=10/global_step=10, CurrSamplesPerSec=171.9, MemAllocated=3.96GB   DeepSpeed
    steps: 1 loss: 12.7902 iter time (s): 150.471 samples/sec: 6.805                  DeepSpeed
    step:92 - actor/grad_norm:2.113 - timing_s/step:7.891 - actor/lr:np.float64(1e-06)   veRL
    Step 10 | loss:2.1 lr:2e-05 tokens_per_second_per_gpu:1234.5                      torchtune
    Finished training step 3. Batch size: 512, Loss: 10.81033, LR: 0.00001            JAX
    [100] collection=train loss=3.2, timing/steps_per_second=1.2                      T5X
    epoch: 0|step: 9|ppo_ep: 1|act_loss: 0.02|cri_loss: 0.01                          DeepSpeed-Chat
    | train_inner | epoch 001:    100 / 1000 loss=9.5, wps=12000, num_updates=100       fairseq
    iteration: 19/10000  time: 7.5187 s/iter total_throughput: 0.53 samples/s         LiBai
    global step 5: loss = 62.5264 (20.205 sec/step)                                   TF-Slim

A value's key is all that stands between the value before it and its sign; words that are a
sentence are no key, and a step in the middle of a sentence is none.
"""

import re
from functools import lru_cache

from heliograph.training import clean, evaluations, rates, reading, unsigned
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.grammar import WHOLE
from heliograph.training.outcome import Outcome
from heliograph.training.vocabulary import MEASURED

PAIRS_MAX = 512
# The signs that are looked at in search of the first key.
FIRST_KEYS_MAX = 32
# A key of more words is a sentence.
KEY_WORDS_MAX = 5
KEY_PLACE_CHARS_MAX = 200
KEYS_CACHED_MAX = 4096
# `Epoch [1/3], Step [10/100], …`
COUNTS_MAX = 4

_NUMBER = (
    r"(?:(?!0,)\d{1,3}(?:,\d{3}){1,6}(?!,?\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
    r"|nan|inf(?:inity)?"
)
# `2,34` may be a fraction, and is not 2: no reading takes it. In a list there are two numbers.
_ODD = (
    r"(?=[-+]?[\d.]{1,25},\d)(?<![\[(])(?![-+]?(?!0,)\d{1,3}(?:,\d{3}){1,6}(?!,?\d))"
    r"[-+]?\d[\d.]{0,24}(?:,\d[\d.]{0,24}){1,8}"
)
_UNIT = r"(?:[KMGT]i?B|[mu]?s|secs?|%|TFLOPs?)"
_END = r"(?=[\s,;)\]}'\"|]|/[A-Za-z]|\.(?:\s|\Z)|\Z)"
_VALUE = re.compile(
    r"[:=]\s{0,32}(?:\[?(?:np\.float\d\d|tensor)\(|[\['\"])?"
    # `1m 23s` is a time, and no million.
    rf"((?:{_ODD}|[-+]?(?:{_NUMBER}))(?:(?:\s?{_UNIT}|[KMGTB](?!\s?\d{{1,2}}\s?s))(?!\w|/\D))?"
    rf"(?:\s{{0,3}}/\s{{0,7}}(?:{_NUMBER})(?:\s?[KMGT]i?B(?:\s?\((?:{_NUMBER})\s?%\))?)?(?![\w.]))?"
    rf"(?:\((?:{_NUMBER})\s?%?\))?){_END}",
    re.IGNORECASE,
)
# A rate behind a value is its unit, and not the beginning of the next key.
_RATE = re.compile(
    rf" (?:({rates.EACH})|({rates.MANY}|{rates.WORK}))(?![\w/])(?!\s{{0,4}}(?:[:=(@]|per\b))",
    re.IGNORECASE,
)
_RATE_BEGINS = frozenset(rates.BEGINS + rates.BEGINS.upper())
# What a rate tells whose key does not say that it is the step that takes the time.
_TIMES = frozenset({"time", "iter time", "step time", "batch time", "batch cost", "speed"})
# A rate behind the last value that no key stands before.
_KEYLESS = re.compile(
    rf"[\s,|(]{{1,4}}({_NUMBER})\s?({rates.EACH}|{rates.MANY})\)?[\s.]*\Z", re.IGNORECASE
)
# After a list's first number, and what closes a call or a string.
_REST = re.compile(
    r"(?:(?:,\s?[-+\d.eE]{1,30}){0,64}\]|[)'\"])?"
    r"(?: = [\d.]{1,20}%|\s?\([\d.]{1,12}%\))?"
)
_NO_REST = frozenset({"", "  ", ", ", " -", "\n"})
_KEY = re.compile(r"[A-Za-z][\w./@#+%()\[\]' -]{0,95}")
# What parts a key from the value before it.
_STRIPPED = " ,;|/-\u2013\t\r\n"
_BETWEEN = re.compile(r"[\s,;|/–-]*")
_OPENING = re.compile(r"[\]>#\[{,;\r\n]|:\s|\s--?\s|\.\s|\s\|\s?|\s{2,}|\t")
_COUNT = re.compile(
    r"(?:\b(?:global|training|train|finished training|optimizer)[ _:]{1,2})?"
    r"\[?\b(step|iteration|iter|epoch|batch)(?:\(train\))?(?::(?=\s{1,3}\[))?"
    # OpenMMLab and PyTorch's examples fill counts with blanks, within brackets and before them.
    rf"(?:\s{{0,8}}\[\s{{0,8}}|\s?[ #]\s?)({WHOLE})"
    rf"(?:(?:\s{{0,4}}/\s{{0,4}}|\sof\s)({WHOLE}))?\]?(?: \([\d.]{{1,6}}%\))?"
    r"(?=[\s,:.;|\])-]|\[\s{0,8}\d|\Z)(?!\.\d|-\d)",
    re.IGNORECASE,
)
# `Epoch [1][1200/7517]`, `Epoch: [0]  [ 260/9143]`
_BATCH_OF = re.compile(rf" {{0,2}}\[\s{{0,8}}({WHOLE})/({WHOLE})\](?=[\s,:])")
# `[0] step=5` is somebody's number.
_WRITER = re.compile(
    r"\[(\d{1,15})\] (?:collection=train )?(?=[a-zA-Z][\w/.-]{0,80}=)"
    r"(?!(?:global_?)?(?:step|iter|iteration|epoch)=)"
)
# `(step=0000120) Train Loss: 0.15, Train Steps/Sec: 3.12`
_CALLED = re.compile(r"\(step=(\d{1,15})\)(?=\s)")
_TIMER = re.compile(r"(?:\A|\s)(\d{1,9})/(\d{1,15}), (?=\w*SamplesPerSec=)")
_FAIRSEQ = re.compile(r"\bepoch (\d{1,9}):? {1,16}(\d{1,15}) / (\d{1,15}) (?=\w+=)")
_ONLY_STEP = re.compile(r"(?:.*\]\s)?Training: step (\d{1,15})\s*\Z")


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, can be of this shape: a few searches for fixed words."""
    if "=" not in text and ":" not in text:
        return "tep " in text and "loss " in text
    return (
        "tep" in text
        or "oss:" in text
        or "oss=" in text
        or "oss =" in text
        or "iter" in text
        or "Iter " in text
        or "poch" in text
        or "erSec" in text
        or "TFLOP" in text
    )


def read(text: str, named: reading.Named = fields_of.named) -> Outcome | None:
    """The values of *text*, a cleaned line; None when it is no such line."""
    only = _ONLY_STEP.match(text) if "Training: step" in text else None
    if only is not None:
        read_here = reading.read([("step", only[1])])
        return Outcome(read_here.fields, frameworks.T5X, "spaced_step", text, read_here)
    start = clean.message_at(text)
    counted = _counts(text, start)
    if counted is None:
        return None
    counts, at, within = counted
    pairs, first_at = _pairs(text, at, named, counted=bool(counts))
    if counts and not pairs:
        stepped = all(word == "step" for word, _ in counts)
        pairs = unsigned.pairs(text, at, stepped=stepped)
    if not pairs or evaluations.spoken(text, start, first_at):
        return None
    if start and evaluations.signed(text, 0, first_at):
        return None
    # `step=100 | val | loss=2.34`
    if "|" in text and any(evaluations.named(part.strip()) for part in text[start:].split("|")):
        return None
    head = text[: min(first_at, clean.PREFIX_CHARS_MAX)]
    name = frameworks.of_spaced(head, {key for key, _ in pairs})
    pairs = frameworks.spelled_out(name, pairs)
    if name == frameworks.VERL:
        # Three decimals of a learning rate are its rounding, not its value.
        pairs = [pair for pair in pairs if not (pair[0].endswith("/lr") and _nought(pair[1]))]
    read_here = reading.read([*counts, *_torchtrain(pairs)], named=named)
    fields = read_here.fields
    if not read_here.measured:
        return None
    if "current_iteration" in fields or ("epoch" in fields and read_here.known >= 2):
        rule = "bar" if within and "target_iteration" in fields else "spaced"
        return Outcome(fields, name, rule, head, read_here)
    # Phases of a step (`Generation => Latency: 3.1s`) are not the step.
    if "=>" in head and "End-to-End =>" not in head:
        return None
    # A step in the middle of a sentence was there, and is none.
    if "iteration" in text:
        return None
    # With no step on it, only what a running step alone can tell is proof enough.
    if len(MEASURED.intersection(fields)) < 2:
        return None
    return Outcome(fields, name, "spaced_headless", head, read_here)


def _torchtrain(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """`step: 1  loss: 10.8  iter:  4.26  data: 0.02`: a broken count is a time in seconds."""
    return [
        ("iter time (s)" if key == "iter" and "." in value else key, value)
        for key, value in pairs
    ]


def _nought(value: str) -> bool:
    return not value.strip("0.") and "e" not in value


def _counts(text: str, start: int) -> tuple[list[tuple[str, str]], int, bool] | None:
    """The counts that open the message without a sign, where they end, and whether the step is one
    of the epoch, as a bar's is; None: no training."""
    between = _BETWEEN.match(text, start)
    at = between.end() if between is not None else start
    if text.startswith("(step=", at) and (called := _CALLED.match(text, at)) is not None:
        return [("step", called[1])], called.end(), False
    writer = _WRITER.match(text, at)
    if writer is not None:
        if text.startswith("collection=", writer.end()):
            return None
        return [("step", writer[1])], writer.end(), False
    fairseq = _FAIRSEQ.search(text, start) if " wps=" in text else None
    if fairseq is not None:
        counts = [("epoch", fairseq[1])]
        if within := "num_updates=" not in text:
            counts.append(("step", f"{fairseq[2]}/{fairseq[3]}"))
        return counts, fairseq.end(), within
    timer = _TIMER.search(text, start) if "SamplesPerSec=" in text else None
    if timer is not None:
        return [("epoch", timer[1]), ("step", timer[2])], timer.end(), False
    counts = []
    at = start
    within = False
    for _ in range(COUNTS_MAX):
        between = _BETWEEN.match(text, at)
        match = _COUNT.match(text, between.end() if between else at)
        if match is None:
            break
        word = "epoch" if match[1].lower() == "epoch" else "step"
        # Trainers count batches within an epoch.
        within = within or (bool(counts) and match[1].lower() == "batch")
        counts.append((word, f"{match[2]}/{match[3]}" if match[3] else match[2]))
        at = match.end()
        if word == "epoch" and (batch := _BATCH_OF.match(text, at)) is not None:
            counts.append(("step", f"{batch[1]}/{batch[2]}"))
            at = batch.end()
            within = True
    return counts, at, within


def _pairs(
    text: str, at: int, named: reading.Named, *, counted: bool
) -> tuple[list[tuple[str, str]], int]:
    """The pairs of *text* from character *at*, and where the first key begins.

    Words that are a sentence are no key; of a call or of settings nothing is read.
    """
    pairs: list[tuple[str, str]] = []
    first_at = end = at
    looked_at = 0
    for match in _VALUE.finditer(text, at):
        looked_at += 1
        if looked_at > (PAIRS_MAX if pairs or counted else FIRST_KEYS_MAX):
            break
        key_at = match.start()
        if key_at < end:
            continue
        if not pairs and text.find("(", end, key_at) > text.rfind(")", end, key_at):
            # A call or settings: `Namespace(lr=0.001, step=5)`.
            break
        if pairs or counted:
            key = _inner_key(text[max(end, key_at - KEY_PLACE_CHARS_MAX) : key_at])
        else:
            key, key_at = _first_key(text, end, key_at, named)
        end = match.end()
        value = match[1]
        if (after := text[end : end + 2]) not in _NO_REST:
            if after[1:] in _RATE_BEGINS and (rate := _RATE.match(text, end)) is not None:
                end = rate.end()
                key, value = _with_rate(key, value, rate, named)
            elif (rest := _REST.match(text, end)) is not None:
                end = rest.end()
        if not key:
            continue
        if not pairs:
            first_at = key_at
        pairs.append((key, value))
    if (
        pairs
        and "/" in text[end:]
        and (last := _KEYLESS.match(text, end)) is not None
        # Beside an evaluation's loss it may be the evaluation's.
        and not any(evaluations.measured(key) for key, _ in pairs)
    ):
        pairs.append((last[2], last[1]))
    return pairs, first_at


def _with_rate(
    key: str, value: str, rate: re.Match[str], named: reading.Named
) -> tuple[str, str]:
    """*key* and *value* behind which *rate* stands: what it tells of them."""
    canonical = fields_of.canonical_of(key)
    if rate[1]:
        unit = rate[1].partition("/")[0]
        return (
            (f"step time ({unit})", value) if canonical in _TIMES else (key, f"{value} {unit}")
        )
    meaning = named(key)
    if meaning is not None and not meaning.known:
        spelled = f"{key} ({rate[2]})"
        meaning = named(spelled)
        if meaning is not None and meaning.known and not meaning.field.endswith("_avg"):
            return spelled, value
    return key, value


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _inner_key(words: str) -> str:
    """The key in *words*, which stand between two values; "" when it is none."""
    opening = 0
    for match in _OPENING.finditer(words):
        opening = match.end()
    key = words[opening:].strip(_STRIPPED)
    if _KEY.fullmatch(key) is None or key.rpartition(" ")[2].isdigit():
        return ""
    return key if key.count(" ") < KEY_WORDS_MAX else ""


def _first_key(text: str, start: int, stop: int, named: reading.Named) -> tuple[str, int]:
    """The key that ends at *stop* and where it begins; ("", 0) when the words are none.

    A logger's words may stand before it: the key is what the message begins with.
    """
    start = max(start, stop - KEY_PLACE_CHARS_MAX)
    words = text[start:stop]
    opening = 0
    for match in _OPENING.finditer(words):
        opening = match.end()
    key = words[opening:].lstrip(_STRIPPED)
    key_at = stop - len(key)
    key = key.rstrip()
    before, _, last = key.rpartition(" ")
    if "=" in before and _KEY.fullmatch(last) is not None:
        # logfmt: `level=info msg="train" step=10`
        return last, stop - len(last)
    if _KEY.fullmatch(key) is None or last.isdigit():
        return "", 0
    if text[start:key_at].strip(_STRIPPED) and not clean.begins(text, key_at):
        return "", 0
    return _last_words(text, key, key_at, named)


def _last_words(text: str, key: str, key_at: int, named: reading.Named) -> tuple[str, int]:
    """*key*, or what is left of it after a logger's words: `INFO step`."""
    at = key_at
    rest = key
    while True:
        meaning = named(rest)
        if meaning is not None and meaning.known:
            return (rest, at) if clean.begins(text, at) or at == key_at else ("", 0)
        word, blank, tail = rest.partition(" ")
        if not blank:
            return (key, key_at) if key.count(" ") < KEY_WORDS_MAX else ("", 0)
        at += len(word) + 1
        rest = tail
