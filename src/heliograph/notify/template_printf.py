"""`printf` of templates, as Go's `fmt.Sprintf` writes it.

    formatted("%s: %05.1f%%, %q", ["load", 2.25, "a\\tb"])   'load: 002.2%, "a\\tb"'

What Go complains of is complained of in its words (`%!d(string=x)`, `%!s(MISSING)`); what it would
write and we do not (`%*d`, `%#v`, widths within lists) is Failed: nothing else is told in its place.
Source: Go `fmt`, "Printing".
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from heliograph.core import go_text
from heliograph.notify.template_values import Failed, float_text, text_of

# Of one formatted value; Go would pad to any width.
WIDTH_MAX = 200
_VERB = re.compile(
    r"%(?P<flags>[-+ 0#]*)(?P<width>\*|\d*)(?:(?P<point>\.)(?P<precision>\*|\d*))?"
    r"(?P<place>\[[^\]]*\])?(?P<verb>.|\Z)",
    re.DOTALL,
)


class _Spec(NamedTuple):
    """One verb and how it is to be written; *precision* None: as it comes."""

    verb: str
    flags: str
    width: int
    precision: int | None

    @property
    def bare(self) -> bool:
        """Whether it is a verb and nothing else."""
        return not self.flags and not self.width and self.precision is None


def formatted(layout: str, values: Sequence[Any]) -> str:
    """*layout* with *values* in place of its verbs. Raises Failed."""
    parts: list[str] = []
    at = end = 0
    placed = False
    for found in _VERB.finditer(layout):
        parts.append(layout[end : found.start()])
        end = found.end()
        if found["verb"] in {"%", ""}:
            parts.append("%" if found["verb"] else "%!(NOVERB)")
            continue
        if found["place"]:
            placed = True
            at = _place(found["place"])
        if not 0 <= at < len(values):
            parts.append(f"%!{found['verb']}({'BADINDEX' if placed else 'MISSING'})")
            continue
        parts.append(_one(_spec(found), values[at]))
        at += 1
    parts.append(layout[end:])
    if not placed and at < len(values):
        parts.append(f"%!(EXTRA {', '.join(map(_complaint, values[at:]))})")
    return "".join(parts)


def _place(text: str) -> int:
    """Which value `[2]` asks for, from 0; -1 for none there can be."""
    number = text[1:-1]
    return int(number) - 1 if number.isascii() and number.isdigit() and len(number) < 5 else -1


def _spec(found: "re.Match[str]") -> _Spec:
    if "*" in (found["width"], found["precision"]) or "#" in found["flags"]:
        raise Failed(f"printf: {found[0][:20]} is not in the subset")
    width = int(found["width"] or 0)
    precision = int(found["precision"] or 0) if found["point"] else None
    if max(width, precision or 0) > WIDTH_MAX:
        raise Failed(f"a width over {WIDTH_MAX}")
    return _Spec(found["verb"], found["flags"], width, precision)


def _one(spec: _Spec, value: Any) -> str:
    kind = _kind(value)
    write = _WRITTEN.get((kind, spec.verb))
    if write is not None and (spec.bare or kind != "other"):
        return _padded(spec, write(spec, value), numeric=kind in {"int", "float64"})
    if kind == "other" or not spec.bare or spec.verb in "Tp" or (kind, spec.verb) in _LACKING:
        raise Failed(f"printf: %{spec.verb} of this value is not in the subset")
    return f"%!{spec.verb}({_complaint(value)})"


def _kind(value: Any) -> str:
    if value is None:
        return "nil"
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "other"


def _complaint(value: Any) -> str:
    """*value* as Go names it where it does not fit. Raises Failed."""
    kind = _kind(value)
    if kind == "other":
        raise Failed("printf: a value that no verb is for")
    return "<nil>" if kind == "nil" else f"{kind}={text_of(value)}"


def _padded(spec: _Spec, text: str, *, numeric: bool) -> str:
    if "-" in spec.flags:
        return text.ljust(spec.width)
    if "0" in spec.flags and spec.verb != "U":
        # After the sign of a number, which may be a space.
        if numeric and text.startswith(" "):
            return " " + text[1:].rjust(spec.width - 1, "0")
        return text.zfill(spec.width) if numeric else text.rjust(spec.width, "0")
    return text.rjust(spec.width)


def _sign(spec: _Spec) -> str:
    return "+" if "+" in spec.flags else " " if " " in spec.flags else ""


def _whole(code: str) -> Callable[[_Spec, int], str]:
    def write(spec: _Spec, value: int) -> str:
        if spec.precision is not None:
            raise Failed("printf: a precision of a whole number is not in the subset")
        return format(value, f"{_sign(spec)}{code}")

    return write


def _broken(spec: _Spec, value: float) -> str:
    code = spec.verb
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124 - NaN
        raise Failed("printf: a number that is none")
    if code in "gG" and spec.precision is None:
        text = float_text(value)
        text = f"{_sign(spec)}{text}" if value >= 0 else text
        return text.upper() if code == "G" else text
    precision = 6 if spec.precision is None else spec.precision
    return format(value, f"{_sign(spec)}.{precision}{code}")


def _text(spec: _Spec, value: str) -> str:
    return value if spec.precision is None else value[: spec.precision]


def _quoted(spec: _Spec, value: Any) -> str:
    if "+" in spec.flags:
        raise Failed("printf: %+q is not in the subset")
    if isinstance(value, str):
        return go_text.quoted(_text(spec, value))
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise Failed("printf: %q of this value is not in the subset")
    return "[" + " ".join(map(go_text.quoted, value)) + "]"


def _hex(spec: _Spec, value: str) -> str:
    if spec.precision is not None or spec.flags.strip("-0"):
        raise Failed("printf: this %x is not in the subset")
    text = value.encode("utf-8", "replace").hex()
    return text.upper() if spec.verb == "X" else text


def _char(_: _Spec, value: int) -> str:
    return chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"


def _point(_: _Spec, value: int) -> str:
    if value < 0:
        raise Failed("printf: %U of this value is not in the subset")
    return f"U+{value:04X}"


def _plain(spec: _Spec, value: Any) -> str:
    if isinstance(value, float):
        return _broken(spec._replace(verb="g", flags=spec.flags.replace("+", "")), value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _whole("d")(spec._replace(flags=spec.flags.replace("+", "")), value)
    return "<nil>" if value is None else text_of(value)


def _all_texts(_: _Spec, value: Any) -> str:
    """A list or labels under `%s`, whose verb is of every text within."""
    numbers = isinstance(value, list | tuple) and any(
        _kind(one) not in {"string", "other"} for one in value
    )
    if numbers:
        raise Failed("printf: %s of this list is not in the subset")
    return text_of(value)


# What Go would write.
_LACKING = {("int", "O"), ("int", "q"), *(("float64", code) for code in "bxX")}
_WRITTEN: dict[tuple[str, str], Callable[[_Spec, Any], str]] = {
    **{(kind, "v"): _plain for kind in ("nil", "bool", "int", "float64", "other")},
    **{("int", code): _whole(code) for code in "dxXob"},
    **{("float64", code): _broken for code in "feEgG"},
    ("int", "c"): _char,
    ("int", "U"): _point,
    ("float64", "F"): lambda spec, value: _broken(spec._replace(verb="f"), value),
    ("bool", "t"): lambda _, value: text_of(value),
    ("string", "s"): _text,
    ("string", "v"): _text,
    ("string", "q"): _quoted,
    ("string", "x"): _hex,
    ("string", "X"): _hex,
    ("other", "s"): _all_texts,
    ("other", "q"): _quoted,
}
