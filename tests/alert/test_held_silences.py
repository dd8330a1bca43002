"""Silences and what they hold back go back together."""

from msgspec import structs

from heliograph.alert.engine.held_silences import Silences
from heliograph.alert.model import Silence

ONE = Silence("s", (("a", "=", "1"),), 0, 100, "me", "", 0, 0)
OTHER = structs.replace(ONE, matchers=(("a", "=", "2"),))
NEW = structs.replace(ONE, id="t")


def held(silences):
    return [silences.silencer.silenced_by({"a": value}, 10) for value in "12"]


def test_what_is_not_stored_is_as_if_it_had_not_been():
    silences = Silences()
    silences.put(ONE)
    silences.commit()
    for change in (
        lambda: silences.put(OTHER),
        lambda: silences.drop("s"),
        lambda: silences.put(NEW),
    ):
        change()
        assert held(silences) != [("s",), ()]
        silences.abort()
        assert (held(silences), list(silences.values())) == ([("s",), ()], [ONE])
        assert silences.written() == []
    silences.put(OTHER)
    assert silences.written() == [OTHER]
    silences.commit()
    assert (held(silences), len(silences), silences.get("s")) == ([(), ("s",)], 1, OTHER)
