"""The errors: each says who must act, and carries what an answer needs."""

import pytest

from heliograph.core.errors import ConfigError, HeliographError, Refused, Rejected, Unavailable


def test_one_root_and_three_that_cannot_be_mistaken():
    kinds = [ConfigError, Refused, Unavailable]
    assert all(kind.__bases__ == (HeliographError,) for kind in kinds)


def test_refused_defaults_to_a_bad_request():
    error = Refused("no name")
    assert (str(error), error.detail, error.field, error.code, error.status) == (
        "no name", "no name", "", "invalid", 400,
    )  # fmt: skip


def test_refused_names_the_field():
    error = Refused("9 bytes, limit 8", field="alerts[2].labels", code="too_large", status=413)
    assert (error.field, error.code, error.status) == ("alerts[2].labels", "too_large", 413)


def test_unavailable_says_when_to_come_back():
    error = Unavailable("queue full", code="queue_full", retry_after_s=2.5)
    assert (error.detail, error.code, error.retry_after_s) == ("queue full", "queue_full", 2.5)
    assert Unavailable("x").retry_after_s == 1


def test_rejected_is_data():
    assert Rejected(3, "duplicate_label", "a") == (3, "duplicate_label", "a")
    with pytest.raises(TypeError):
        raise Rejected(0, "x", "y")
