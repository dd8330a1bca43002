"""Losses that are no number any more, and loss scales at their end.

    {'loss': nan, 'grad_norm': nan, …}                                       nan_loss, by its value
    AssertionError: Rank 0: found NaN in local forward loss calculation.     nan_loss
    Loss is nan, stopping training
    FloatingPointError: Minimum loss scale reached (0.0001). …               loss_scale_collapse
    Current loss scale already at minimum - cannot decrease scale anymore.
    Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 6.1e-05

Attributes: field, value (`nan`, `inf`, `-inf`), iteration; loss_scale. A gradient norm that is
infinite once is what a loss scale is for, and no finding; nor is a count of zero NaN iterations.
"""

import math
import re
from typing import Any

from heliograph.training.findings.event import (
    CRITICAL,
    ERROR,
    ROOT,
    Event,
    Found,
    begins,
    found,
    number,
)
from heliograph.training.findings.patterns import compiled

HINT = (
    r"(?i)\bloss(?:es)?\b.{0,40}\b(?:nan|inf|infinity|not a number|non-?finite)\b|"
    r"\b(?:nan|inf|infinite|non-?finite)\b.{0,30}\bloss|found (?:nan|inf) in|"
    r"nan iterations: +[1-9]|minimum loss scale|loss scale already at minimum|"
    r"reducing loss scale to [0-9.]|reducing to [01](?:\.\d+)?\b|detected nan and|"
    r"unexpected result [-+]?(?:nan|inf)|bad grad_norm|detected (?:nan|inf) in"
)
RULES = ("nan_loss", "loss_scale_collapse")

_KINDS = (
    r"(?:lm|total|train|training|val|valid|validation|eval|test|policy|value|actor|critic|pg|kl|aux|"
    r"reduced_train|mtp_\d+)"
)
_VALUE = r"(?P<value>[-+]?(?:nan|inf(?:inity)?))"
_NAN = compiled(
    rf"\b(?P<field>(?:{_KINDS}[ _/])?loss)['\"]?\s*(?:[:=]|is)\s*(?:tensor\()?{_VALUE}\b(?!\w)"
    rf"|\bfound (?P<value2>nan|inf) in (?:local )?(?P<field2>forward loss|grad norm|loss|gradients?)"
    rf"|\bnumber of nan iterations:\s+(?P<count>[1-9]\d*)"
    rf"|\b(?P<value3>nan|inf(?:inite)?|non-?finite) (?:or inf )?(?:(?:training|validation|train) )?"
    rf"loss(?:, (?:ending|stopping|aborting)| (?:detected|encountered|found|at (?:step|iteration)))"
    rf"|\bloss (?:became|has become|diverged to|contains|went to) (?P<value4>nan|inf(?:inity|inite)?)\b"
    rf"|\bdetected (?P<value5>nan) and/or inf values in"
    rf"|\bdetected (?P<value9>nan|inf) in (?:the )?(?:\w+ )?loss\b"
    rf"|\bloss is (?:not finite: (?P<value10>[-+]?(?:nan|inf))|(?P<value11>infinite) or nan)\b"
    rf"|\bloss returned in \S+ is (?:tensor\()?(?P<value6>nan|inf)"
    rf"|\bUnexpected result (?P<value7>[-+]?(?:nan|inf)) on rank \d+"
    rf"|\bBad (?P<field3>grad_norm) detected \(grad_norm=(?P<value8>[-+]?(?:nan|inf))\)",
    re.IGNORECASE,
)
_ADVICE = compiled(
    r"\b(?:if|when|in case|check(?:ing)?|whether|skip(?:s|ping)?|avoid|my|your|why|how)\b[^:]*\Z",
    re.IGNORECASE,
)
# `loss is nan: False`, `found NaN in loss? no`: somebody looked.
_DENIED = compiled(r"['\"]?\s*[:=?]\s*['\"]?(?:false|no|none|null|0)\b(?!\.\d)", re.IGNORECASE)
# A trainer does not ask what to do.
_ASKED = compiled(r"[^.!]*\b(?:what|how|why|should|can|is|does)\b[^.!]*\?\W*\Z", re.IGNORECASE)
# The line of a program that would say it, as tracebacks show it.
_CODE = compiled(
    r"(?:\braise [\w.]+\(|\bassert\b.{0,100}, ?|\b(?:print|warn|log\w*\.\w+)\()"
    r"[a-zA-Z]{0,2}[\"'][^\"']*\Z|(?:\A|\]:) {2,16}#(?!#)[^:]*\Z"
)
_AT_END = compiled(
    r"\bMinimum loss scale reached\b|\bloss scale already at minimum\b", re.IGNORECASE
)
_REDUCED = compiled(
    r"\breducing (?:loss scale )?to (?P<scale>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)", re.IGNORECASE
)
_SCALE_MIN = compiled(r"\breached \((\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\)")
_ITERATION = compiled(r"\b(?:iteration|step|iter)[ :=]+#?(\d{1,18})\b", re.IGNORECASE)

_RANK = compiled(
    r"\bRank (\d{1,7})(?:: found\b|, node \S+, device \d+, iteration\b)"
    r"|\bresult \S+ on rank (\d{1,7}) at\b"
)
# What Megatron's check names beside its result.
_CHECKED = compiled(
    r"\bfound (?:nan|inf) in (?:local )?(forward loss|grad norm|loss)", re.IGNORECASE
)

_LOSSES = ("lm_loss", "total_loss", "load_balancing_loss", "auxiliary_loss")
# A loss scale that was reduced below this one has no way left to go.
SCALE_MIN = 1.0


def read(text: str) -> Found | None:
    """What *text* tells of numbers that are none, or None."""
    match = _AT_END.search(text) or _REDUCED.search(text)
    if match is not None:
        return _collapse(text, match)
    match = _NAN.search(text)
    if match is None:
        return None
    before = text[max(0, match.start() - 200) : match.start()]
    if _ADVICE.search(before) or _CODE.search(before):
        return None
    if _DENIED.match(text, match.end()) or _ASKED.match(text, match.end()):
        return None
    value = next(filter(None, (match[f"value{n}"] for n in ("", *range(2, 12)))), "nan")
    if "finite" in value.lower() and "nan" in text.lower():
        value = "nan"
    field = match["field"] or match["field2"] or match["field3"] or _checked(text)
    attributes: dict[str, Any] = {
        "field": field.strip().lower().replace(" ", "_"),
        "value": _written(value),
        "nan_iterations": number(match["count"]),
        "rank": int(rank[1] or rank[2]) if (rank := _RANK.search(text)) else None,
        "iteration": _iteration(text),
    }
    return found("nan_loss", CRITICAL, "nan_loss", match.start(), ROOT, attributes)


def _checked(text: str) -> str:
    match = _CHECKED.search(text)
    return match[1] if match is not None else "loss"


def _written(value: str) -> str:
    value = value.lower()
    if "inf" in value or "finite" in value:
        return "-inf" if value.startswith("-") else "inf"
    return "nan"


def _collapse(text: str, match: re.Match[str]) -> Found | None:
    if match.re is _REDUCED:
        scale = float(match["scale"])
        if scale >= SCALE_MIN or "overflow" not in text.lower():
            return None
    elif (
        begins(text, match.start())
        or ":" in text[: match.start()]
        or "scale already" in match[0]
    ):
        least = _SCALE_MIN.search(text)
        scale = float(least[1]) if least else math.nan
    else:
        return None
    attributes = {"loss_scale": None if math.isnan(scale) else scale}
    return found(
        "loss_scale_collapse", CRITICAL, "loss_scale_collapse", match.start(), ROOT, attributes
    )


def of_fields(fields: dict[str, Any]) -> tuple[Event, ...]:
    """What the values of a performance line tell by themselves: at most one `nan_loss`, of the
    first loss that is no finite number, else of NaN iterations, else of a gradient norm that is NaN.
    """
    said: dict[str, Any] | None = None
    severity = CRITICAL
    for name in _LOSSES:
        value = fields.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            said = {"field": name, "value": str(value)}
            break
    else:
        count, norm = fields.get("nan_iterations"), fields.get("grad_norm")
        if isinstance(count, int | float) and count > 0:
            said = {"field": "nan_iterations", "value": "nan", "nan_iterations": count}
        elif isinstance(norm, float) and math.isnan(norm):
            said, severity = {"field": "grad_norm", "value": "nan"}, ERROR
        elif (other := _in_extra(fields.get("extra"))) is not None:
            said, severity = {"field": other, "value": "nan"}, ERROR
    if said is None:
        return ()
    if "current_iteration" in fields:
        said["iteration"] = fields["current_iteration"]
    return (Event("nan_loss", severity, {**said, "role": ROOT}),)


def _in_extra(extra: Any) -> str | None:
    """The name of a loss among the further values that is NaN."""
    if not extra:
        return None
    for name, value in extra.items():
        if isinstance(value, float) and math.isnan(value) and "loss" in name.lower():
            return str(name)
    return None


def _iteration(text: str) -> int | None:
    match = _ITERATION.search(text)
    return int(match[1]) if match is not None else None
