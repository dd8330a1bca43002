"""One log line → what it says of training. The only entry; a pure function of the line.

    " iteration  4/ 20 | lm loss: 1.101008E+01 | grad norm: 19.806 |"
        performance, megatron-lm, {current_iteration: 4, target_iteration: 20, lm_loss: 11.01008, …}
    "[titan] … - Finished saving the checkpoint in 1.20 seconds."
        event checkpoint_save_end {duration_ms: 1200.0}
    "time (ms) | forward-compute: 53.79 | …"
        none

Most lines are noise: a few searches for fixed words turn them away before anything else is done.
What is left is read by the shape that it has: `piped`, `dicts`, `spaced`, `lone`; progress `bars`
are cut out first, and fill in the step where what is printed beside them does not tell it.
"""

from typing import Any, NamedTuple

from heliograph.training import (
    bars,
    clean,
    dicts,
    evaluations,
    events,
    gaps,
    lone,
    piped,
    reading,
    spaced,
)
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.events import Event
from heliograph.training.outcome import Outcome

# Longer lines are dumps of settings or of data; trainers' lines have a tenth of this.
LINE_CHARS_MAX = 16_384

RULES = frozenset(
    {
        *("none", "too_long", "piped", "piped_headless", "piped_memory", piped.OF_EPOCH),
        *(
            *("spaced", "spaced_step", "spaced_headless"),
            "dict",
            dicts.SUMMARY,
            "bar",
            "lone_batch",
            "lone_row",
            lone.TABLE,
            "lone_vllm",
            "lone_overflow",
            "lone_tune",
            "lone_utilisation",
            "lone_notes",
            lone.LOSS,
            "lone_mllog",
            "lone_memory",
            lone.OUTPUT,
            lone.PROGRESS,
        ),
    }
) | (events.RULES)
# Of a whole run, which is over.
SUMMARIES = frozenset({dicts.SUMMARY, lone.OUTPUT, lone.TABLE})


class Parsed(NamedTuple):
    """What one line said.

    kind        `performance`, `event` or `none`
    framework   as given, else as the line shows it, else `unknown`
    fields      training field → number (NaN and infinities kept); `extra` holds the rest.
                A field that is not on the line is absent. Of an event: rank and world_size
    events      what happened, in order; also what the values of a performance line tell
    rule        which reading matched: one of RULES, or `pattern:NAME` of a site's own
    label       what keeps the ranks of one stream apart: see `clean.Speaker`
    gap         it looks like measures, and nothing was read: see `gaps`
    """

    kind: str
    framework: str
    fields: dict[str, Any]
    events: tuple[Event, ...]
    rule: str
    label: str
    gap: bool = False


def parse_line(text: str, framework: str | None = None) -> Parsed:
    """What *text*, one line, says. Never raises.

    *framework*, where the caller knows it, is answered as given; it changes no value.
    """
    shaped = (
        "|" in text
        or "{" in text
        or spaced.hinted(text)
        or lone.hinted(text)
        or bars.hinted(text)
    )
    if not shaped and not events.hinted(text):
        return none(framework)
    raw = text
    if len(text) > LINE_CHARS_MAX:
        # A terminal shows the end of an overwritten line; a log keeps all of it.
        _, overwritten, text = text[-LINE_CHARS_MAX:].partition("\r")
        if not overwritten:
            return none(framework, "too_long")
    text = clean.uncolored(text)
    found = performance(text) if shaped else None
    drawn = found is not None and found.rule == "bar" and not found.events
    progress = found is not None and found.rule == lone.PROGRESS
    if (found is None or drawn or progress) and (not shaped or events.hinted(raw)):
        found = _beside(found, _event(text))
    if found is None:
        return none(framework, gap=shaped and gaps.suspected(text))
    return found._replace(framework=framework) if framework is not None else found


def none(given: str | None, rule: str = "none", *, gap: bool = False) -> Parsed:
    """A line that says nothing, of the framework *given*."""
    return Parsed("none", given or frameworks.UNKNOWN, {}, (), rule, "", gap)


def performance(text: str, named: reading.Named = fields_of.named) -> Parsed | None:
    """The values of *text*, a cleaned line; None when it tells none.

    *named* says what a printed key means: a site has words of its own.
    """
    text = clean.without_end(text)
    found = _performance(text, named)
    at = clean.told_at(text)
    if not at or evaluations.spoken(text[:at]):
        return found
    behind = _performance(text[at:], named)
    if behind is None:
        said = text[at:].partition("|")[0]
        return None if evaluations.named(said.strip()) else found
    behind = _by(text[:at], behind)
    if found is None or _many(behind) > _many(found):
        return behind
    return _by(text[:at], found)


def _many(parsed: Parsed) -> tuple[int, int]:
    """How many training fields, and how few of other names: a tool's words may look like such."""
    extra = parsed.fields.get("extra", ())
    return len(parsed.fields) - bool(extra), -len(extra)


def _by(head: str, parsed: Parsed) -> Parsed:
    """*parsed*, with the rank and the framework that *head*, what a tool put before it, names where
    it names none."""
    label, name = parsed.label, parsed.framework
    if not label:
        label = _put_speaker(parsed.fields, head)
    if name == frameworks.UNKNOWN:
        name = frameworks.of_prefix(head)
    return parsed._replace(label=label, framework=name)


def _performance(text: str, named: reading.Named) -> Parsed | None:
    bar: bars.Bar | None = None
    if bars.hinted(text):
        bar, text = bars.cut(text)
    found = _shape(text, named)
    if bar is not None:
        found = _with_bar(found, reading.read(bar.pairs, named=named), bar)
    if found is None:
        return None
    return of_values(found.fields, found.framework, found.rule, found.head)


def _shape(text: str, named: reading.Named) -> Outcome | None:
    found = None
    if "|" in text and ":" in text and piped.hinted(text):
        found = piped.read(text, named)
    if found is None and "{" in text:
        found = dicts.read(text, named)
    if found is None and spaced.hinted(text):
        found = spaced.read(text, named)
    if found is None and lone.hinted(text):
        found = lone.read(text, named)
    return found


def _with_bar(found: Outcome | None, drawn: reading.Reading, bar: bars.Bar) -> Outcome | None:
    """*found* with what the bar beside it tells; the bar alone where nothing is beside it."""
    if found is None:
        if "current_iteration" not in drawn.fields and not drawn.measured:
            return None
        return Outcome(drawn.fields, bar.framework, "bar", bar.head, drawn)
    if drawn.fields.get("current_iteration") == 0:
        # It was drawn before the first step, which what is printed beside it comes after.
        return found
    step = found.fields.get("current_iteration")
    if step is None or step == drawn.fields.get("current_iteration"):
        extra = {**drawn.fields.get("extra", {}), **found.fields.get("extra", {})}
        found.fields.update({**drawn.fields, **found.fields})
        if extra:
            found.fields["extra"] = extra
    return found


def of_values(fields: dict[str, Any], framework: str, rule: str, head: str) -> Parsed:
    """A performance line of *fields*, with the rank that *head* names and what they tell."""
    label = _put_speaker(fields, head)
    told = events.of_fields(fields)
    # Of the table's lines, one each.
    if rule in SUMMARIES and (rule == dicts.SUMMARY or "total_loss" in fields):
        told = (*told, events.TRAINING_OVER)
    return Parsed("performance", framework, fields, told, rule, label)


def _beside(bar: Parsed | None, happened: Parsed | None) -> Parsed | None:
    """What *happened* beside a *bar*, in whose place it stands unless that tells a loss or is a
    line that is about both."""
    if bar is None or happened is None:
        return happened or bar
    if bar.rule == "bar" and {"total_loss", "lm_loss"}.isdisjoint(bar.fields):
        return happened
    return bar._replace(events=happened.events)


def _event(text: str) -> Parsed | None:
    text = clean.without_end(text)
    found = _event_of(text)
    at = 0 if found is not None else clean.told_at(text)
    behind = _event_of(text[at:]) if at else None
    return found if behind is None else _by(text[:at], behind)


def _event_of(text: str) -> Parsed | None:
    found = events.find(text)
    if found is None:
        return None
    fields: dict[str, Any] = {}
    label = _put_speaker(fields, text[: found.at])
    named = frameworks.of_prefix(text)
    name = named if named != frameworks.UNKNOWN else found.framework
    return Parsed("event", name, fields, (found.event,), found.rule, label)


def _put_speaker(fields: dict[str, Any], head: str) -> str:
    """Put the rank and the world size that *head*, the text before a message, names among *fields*;
    the label of who speaks."""
    who = clean.speaker(head[: clean.PREFIX_CHARS_MAX])
    if who.rank is not None:
        fields["rank"] = who.rank
    if who.world_size is not None:
        fields["world_size"] = who.world_size
    return who.label
