"""A score that is told as 0, because it is certainly within the limit, is within it."""

import random

import pytest

from heliograph.rules.anomaly import Past, is_anomalous

KINDS = {
    "wide": lambda rng: rng.uniform(1.5, 9),
    "around zero": lambda rng: rng.gauss(0, 1),
    "few values": lambda rng: rng.choice([1.0, 1.0, 2.0, 5.0]),
    "spikes": lambda rng: rng.gauss(100, 1) * (1 if rng.random() < 0.98 else 5),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [3.0, 8.0])
def test_a_limit_changes_no_verdict(kind, limit):
    rng = random.Random(5)
    for size in (5, 30, 31):
        quick, exact = Past(size=size, least=5), Past(size=size, least=5)
        for at_ns in range(300):
            value = KINDS[kind](rng)
            told = quick.score(at_ns, value, limit=limit)
            z = exact.score(at_ns, value)
            if z is None:
                assert told is None
                continue
            assert told == z or (told == 0.0 and abs(z) <= limit)
            assert is_anomalous(told, limit=limit, direction="both") == is_anomalous(
                z, limit=limit, direction="both"
            )
