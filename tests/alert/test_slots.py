"""Which slot has a name: the compiled table and its plain twin, over every history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.kernels import alert_columns
from tests.twins import plain

KINDS = [alert_columns.Slots, plain("alert_columns").Slots]
SLOTS = 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_leads_to_its_slot(kind):
    names = ["a", "b", "a", "é" * 40]
    slots = kind(names)
    for slot in (0, 1, 3):
        slots.put(names[slot], slot)

    assert (len(slots), slots.get("a"), slots.get("é" * 40), slots.get("c")) == (3, 0, 3, None)
    slots.put("a", 2)
    assert (len(slots), slots.get("a")) == (3, 2)
    assert (slots.lacks(["c", ""]), slots.lacks(["c", "b"]), slots.lacks([])) == (
        True,
        False,
        True,
    )
    slots.remove("a")
    assert (len(slots), slots.get("a"), slots.get("b")) == (2, None, 1)
    with pytest.raises(KeyError):
        slots.remove("a")
    with pytest.raises(ValueError, match="another name"):
        slots.put("x", 1)
    with pytest.raises(IndexError):
        slots.put("x", 4)
    slots.reserve(1000)
    assert (len(slots), slots.get("b"), slots.get("é" * 40)) == (2, 1, 3)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove", "reserve"]), st.integers(0, SLOTS - 1)),
    max_size=400,
)


@given(steps)
def test_tables_say_what_a_dictionary_says(some):
    # Names of one letter, two names a slot: what is alike is near.
    names = [chr(0x61 + n // 2 % 90) for n in range(SLOTS)]
    known = {}
    made = [kind(names) for kind in KINDS]
    assert [slots.get("a") for slots in made] == [None, None]
    for step, slot in some:
        name = names[slot]
        if step == "reserve":
            for slots in made:
                slots.reserve(slot)
        elif step == "put":
            known[name] = slot
            for slots in made:
                slots.put(name, slot)
        elif name in known:
            del known[name]
            for slots in made:
                slots.remove(name)
    for slots in made:
        assert len(slots) == len(known)
        assert {name: slots.get(name) for name in names} == {
            name: known.get(name) for name in names
        }
