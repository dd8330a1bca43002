"""Whatever stands wherever in a configuration or a document: it is taken, or refused in words."""

import copy
import random
from contextlib import suppress

import pytest

from heliograph.alert import silence_documents
from heliograph.alert.config import configuration, routing_rules
from heliograph.core import document
from heliograph.core.errors import ConfigError, Refused
from tests.alert.test_routes_amtool import WHOLE
from tests.alert.test_routing_rules import FILE
from tests.alert.test_routing_rules import SPEC as ROUTE
from tests.alert.test_silences import SPEC as SILENCE
from tests.alert.test_silences import V2

JUNK = [
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "\ud800", "\0", "a" * 5000, "(", "*",
    "{}", "0001-01-01T00:00:00Z", [], {}, [None], [[]], [{}], {"x": 1}, {"": ""}, {"name": None},
]  # fmt: skip


def places(node, path=()):
    """Every place of *node*, as the keys that lead there."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from places(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, (*path, index))


def replaced(node, path, value):
    """A copy of *node* with *value* at *path*."""
    if not path:
        return value
    made = copy.deepcopy(node)
    below = made
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = value
    return made


READERS = {
    "configuration": (
        configuration.parse, document.parse(WHOLE, source="test"), ConfigError,
    ),
    "route": (lambda made: routing_rules.from_document("7", made, FILE), ROUTE, Refused),
    "silence": (
        silence_documents.from_document,
        {**SILENCE, "schedule": {"cron": "0 2 * * *", "duration": "1h", "timezone": "UTC"}},
        Refused,
    ),
    "silence of Alertmanager": (silence_documents.from_v2, V2, Refused),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_junk_anywhere(reader):
    read, good, refusal = READERS[reader]
    read(good)
    rng = random.Random(3)
    all_places = list(places(good))
    cases = [(path, junk) for path in all_places for junk in JUNK]
    for path, junk in rng.sample(cases, min(len(cases), 1200)):
        with suppress(refusal):
            read(replaced(good, path, junk))


def test_what_is_masked_may_be_anything():
    for path in places(ROUTE):
        for junk in JUNK:
            made = replaced(ROUTE, path, junk)
            routing_rules.unmasked(routing_rules.masked(made), ROUTE)
