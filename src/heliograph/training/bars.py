"""Progress bars (tqdm, Lightning, Composer, torchtune): where training stands, and how fast.

      3%|▎         | 150/5000 [02:31<1:21:05,  1.00s/it]                      bare: HF Trainer
    Epoch 2: 100%|████| 1876/1876 [00:17<00:00, 107.85it/s, loss=0.0944, v_num=0]
    Train step of epoch 0: 60%|██ | 3/5 [00:06<00:03, gpt_loss=3.17, lr=5e-7]
      1|52|Loss: 2.3697:   0%|▏ | 52/25880 [00:24<3:55:01,  1.83it/s]         epoch|step|Loss
    Epoch 3, loss: 2.3128:  10%|█ | 10/100 [00:01<00:09,  9.9it/s]       loops of one's own
    Epoch 0: |          | 120/? [00:30<00:00,  3.9it/s, v_num=0]
    Epoch 0/2  ━━━━╺━━━━ 10/50 0:00:00 • 0:00:01 97.08it/s train_loss: 10.8     Lightning with rich

`it/s` is steps per second, `s/it` the time of one step. Terminals overwrite a bar; in a log two or
more stand on one line, and the last one is the present. Bars of loading, tokenising, generating
and evaluating say nothing of training; a bar that counts epochs counts no steps. A bare bar that
is drawn below another is the evaluation's within training: the terminal's cursor goes back up.
"""

import re
from typing import NamedTuple

from heliograph.training import clean, evaluations, rates
from heliograph.training import framework as frameworks
from heliograph.training.grammar import WHOLE

# The bar itself is as wide as a terminal; the words before it and after it are fewer.
_DESCRIPTION_CHARS_MAX = 120
_POSTFIX_PAIRS_MAX = 64

_BAR = re.compile(
    rf"(?:(?:(?<!\d)\d{{1,3}}%)?\|[^|%\n]{{0,400}}\|\s{{0,16}}({WHOLE})/({WHOLE}|\?)"
    # Without the bar itself, as some terminals are given it.
    r"|(?:(?<!\d)\d{1,3}%\s{1,4}(?:[#=█>-]{1,200}\s{1,4})?)?"
    rf"(?<![\d.,/])({WHOLE})/({WHOLE})(?=\s{{0,4}}\[\d[\d:]{{3,11}}<)"
    r"|(?<=: )(\d{1,15})(?=it \[)it)\s{0,4}"
    r"\[(\d[\d:]{3,11})(?:<[^,\]]{1,24})?((?:,[^\]\n]{0,4000})?)\]?"
)
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s?([a-z]+)/([a-z]+)\s*\Z")
# Composer counts batches as `ba`.
_STEP_UNITS = rates.STEPS | {"ba"}
_TUNE = re.compile(r"(\d{1,9})\|(\d{1,15})\|Loss:\s?(\S{1,40}?):?\s*\Z")
# Words that a program sets anew at each step: `loss: 2.3128:  10%|`.
_TOLD = re.compile(
    r"(?<![\w/])([\w/]{0,60}loss)\s?[:=]\s?"
    r"([-+]?(?:\d{1,9}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?|nan|inf))(?=[\s,;:)\]|]|\Z)",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\bepochs?\s*[:#]?\s*\[?(\d{1,9})(?:\s?/\s?(\d{1,9}))?\]?", re.IGNORECASE)
_TRAINING = re.compile(
    r"\b(?:train(?:ing)?|epochs?|steps?|iter(?:ation)?s?|episode|progress)\b"
)
_OTHER = re.compile(
    rf"{evaluations.WORD}|sanity|predict|load|tokeni|\bmap\b|download|generat|filter|\bsav|shard"
    r"|\bpack|collect|captur|compil|warm|process|prepar|group|\bcach|fetch|convert|quanti|infer"
    r"|rollout|experience|encod|pars|upload|extract|\bindex|read|writ|creat|build|check|split"
)
_COUNTS_EPOCHS = re.compile(r"\bepochs?(?:\s+progress)?\s*\Z")
# What stands before one of these is another line, or a dict that was printed between two bars.
_CLOSED = re.compile(r"[\r\n}]")
# Without a terminal rich leaves the remaining time out, and what follows is another line's.
_RICH = re.compile(
    r"\bEpoch (\d{1,9})/\d{1,9}\s{1,8}[━╸╺]{1,400}\s{1,4}(\d{1,15})/(\d{1,15})\s{1,8}"
    r"\d[\d:]{3,11} •\s{1,16}(?:[-\d:]{4,12}\s{1,8})?(\d{1,12}(?:\.\d{1,6})?)it/s([^\r\n]{0,4000})"
)
_RICH_VALUE = re.compile(r"\b([A-Za-z][\w./-]{0,79}): (\S{1,80})")
# Drawn before its first step, maybe with the words of the epoch before.
_UNMOVED = re.compile(r"\b0/\d{1,15}\s{0,4}\[\d\d:\d\d<\?|\b0it \[")
_BELOW = (clean.BELOW, "[A")
_VALUE = re.compile(r"([^=]{1,80})=(.{1,80})\Z", re.DOTALL)
# Lightning fills every number up to five characters.
_PADDED = re.compile(r"([-+]?(?:nan|inf))\.0{0,3}")


class Bar(NamedTuple):
    """One training bar.

    pairs      keys and values as `reading.read` takes them
    bare       it has neither a description nor values of its own
    framework  what draws such a bar
    head       what stands before the first bar of the line
    """

    pairs: list[tuple[str, str]]
    bare: bool
    framework: str
    head: str = ""


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, can hold a bar: a few searches for fixed signs."""
    return "%|" in text or "it/s" in text or "s/it" in text or "/? [" in text


def cut(text: str) -> tuple[Bar | None, str]:
    """The last training bar of *text*, a cleaned line, and *text* without any bar."""
    if "━" in text and (drawn := list(_RICH.finditer(text))):
        head = text[: drawn[0].start()]
        return _rich(drawn[-1])._replace(head=head), _RICH.sub(" ", text)
    last: Bar | None = None
    rest: list[str] = []
    end = 0
    for match in _BAR.finditer(text):
        before = text[end : match.start()]
        end = match.end()
        described = _description(before)
        bar = _bar(described, match)
        if bar is not None:
            below, unmoved = text.startswith(_BELOW, end), _UNMOVED.search(match[0])
            if below if bar.bare else unmoved:
                bar = None
        if bar is not None and (not bar.bare or last is None or last.bare):
            last = bar
        rest.append(before[: len(before) - len(described)])
    rest.append(text[end:])
    # What is printed beside a bar may be another rank's.
    return last and last._replace(head=rest[0]), " ".join(rest)


def _rich(match: re.Match[str]) -> Bar:
    epoch, done, total, rate, values = match.groups()
    pairs = [("step", done), ("total steps", total), ("epoch", epoch)]
    if float(rate):
        pairs.append(("steps per second", rate))
    measured = _RICH_VALUE.findall(values)[:_POSTFIX_PAIRS_MAX]
    return Bar([*pairs, *measured], bare=False, framework=frameworks.LIGHTNING)


def _description(before: str) -> str:
    """The words of *before* that belong to the bar after it."""
    words = _CLOSED.split(before[-_DESCRIPTION_CHARS_MAX:])[-1]
    return words[clean.message_at(words) :]


def _bar(described: str, match: re.Match[str]) -> Bar | None:
    done, total, bare_done, bare_total, counted, _, rest = match.groups()
    if bare_done:
        done, total = bare_done, bare_total
    if counted:
        done, total = counted, "?"
    pairs: list[tuple[str, str]] = []
    timed = True
    values = []
    for part in rest.split(",")[1 : _POSTFIX_PAIRS_MAX + 1]:
        rate = _RATE.match(part)
        if rate is not None:
            timed = {rate[2], rate[3]} & _STEP_UNITS != set() and "s" in {rate[2], rate[3]}
            key = "sec per step" if rate[2] == "s" else "steps per second"
            pairs.append((key, rate[1]))
        elif (value := _VALUE.match(part)) is not None:
            values.append((value[1].strip(), _unwrapped(value[2].strip())))
    if not timed:
        return None
    tune = _TUNE.search(described)
    if tune is not None:
        head = [("epoch", tune[1]), ("step", done), ("total steps", total), ("loss", tune[3])]
        return Bar([*head, *values, *pairs], bare=False, framework=frameworks.TORCHTUNE)
    words = described.strip(" :|\t").lower()
    trains = _TRAINING.search(words) is not None
    if _OTHER.search(words):
        return None
    values = [*_TOLD.findall(described)[:_POSTFIX_PAIRS_MAX], *values]
    if words and not trains and not _measures(values):
        return None
    if _COUNTS_EPOCHS.search(words):
        return Bar([("epoch", done), *values], bare=not values, framework=frameworks.UNKNOWN)
    epoch = _EPOCH.search(described)
    head = [("step", done)]
    if total != "?":
        head.append(("total steps", total))
    if epoch is not None:
        head.append(("epoch", epoch[1]))
        if epoch[2]:
            head.append(("total_epochs", epoch[2]))
    bare = not words and not values
    return Bar([*head, *values, *pairs], bare, frameworks.of_bar(described, rest))


def _unwrapped(value: str) -> str:
    """The number in `tensor(5.38e-07)`, `np.float64(0.5)` and `nan.0`."""
    padded = _PADDED.fullmatch(value)
    if padded is not None:
        return padded[1]
    inner = value.partition("(")[2]
    return inner.rstrip(")") if inner else value


def _measures(values: list[tuple[str, str]]) -> bool:
    return any("loss" in key and not _OTHER.search(key) for key, _ in values)
