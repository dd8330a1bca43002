"""The pasts of an anomaly rule, counted while they grow."""

from heliograph.alert.rules.pasts import Pasts


class Growing(Pasts):
    """Whenever one of its pasts is asked how much of it came late, there is another."""

    __slots__ = ()

    def of(self, key, client):
        held = super().of(key, client)
        return held if client.endswith("+") else Asked(self, held)


class Asked:
    """A past that makes another when it is looked at."""

    def __init__(self, pasts, held):
        self.pasts, self.held = pasts, held
        pasts._pasts[held.name] = self

    @property
    def late(self):
        self.pasts.of((), f"{self.held.name[1]}+")
        return self.held.late


def test_what_came_late_is_counted_while_others_come():
    pasts = Growing("r", size=9, least=1)
    for client in "abc":
        held = pasts.of((("pod", client),), client).held
        for at_ns in (1, 3, 2):
            held.score(at_ns, 1.0)
    assert pasts.late == 3
    assert len(pasts._pasts) > 3
