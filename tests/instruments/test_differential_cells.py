"""The compiled cells and their plain twin do the same with the same calls, odd ones too."""

import pytest

from heliograph.kernels import cells
from tests.instruments.both_kernels import run

pytestmark = pytest.mark.skipif(not cells.COMPILED, reason="the kernels are not compiled")

# Any calls at all, from a seed; prints all that can be seen of what they did.
PROGRAM = """
import decimal, gc, inspect, math, random, sys
from heliograph.instruments import exposition
from heliograph.instruments.metrics import Counter, Gauge, Histogram

seed = int(sys.argv[1])
rng = random.Random(seed)
class Floaty:
    def __float__(self): return 2.5
class Indexy:
    def __index__(self): return 3
class Bad:
    def __float__(self): raise RuntimeError("bad")
    def __repr__(self): return "Bad"
AMOUNTS = [0, 1, -1, 2.5, -2.5, 0.1, -0.0, 1e300, 5e-324, math.nan, math.inf, -math.inf, True, False, None, "5", b"5",
           1j, [1], 10**400, -(10**400), 2**60, -(2**63), 2**63, decimal.Decimal("1.5"), decimal.Decimal("sNaN"), Floaty(), Indexy(), Bad()]
LABELS = [None, {}, {"a": "1"}, {"b": "2", "a": "1"}, {"a": "1", "b": "2"}, {"a": 1}, {"a": ""}, {"a": "", "b": "x"},
          {"le": "1", "quantile": "2"}, {"a": 'q"\\\\\\n'}, {"a": "größe"}, {"a": "x\\udcff"}, {"a": b"1"}, {"a-b": "1"},
          {"__a": "1"}, {"k": "1"}, {"a": "y" * 2000}, 5, "ab", {"a": Bad()}]
EXEMPLARS = [None, None, {"trace_id": "1"}, {"bad name": "1"}, {"t": "x" * 200}, 7]
out = []
def call(what, *args, **kw):
    try:
        result = what(*args, **kw)
        out.append(repr(result) if result is None or isinstance(result, (int, float, list)) else type(result).__name__)
        return result
    except Exception as error:
        # Who is called with other arguments than there are says so in words of its own.
        text = "arguments" if isinstance(error, TypeError) and "argument" in f"{error}" or "given" in f"{error}" else error
        out.append(f"{type(error).__name__}: {text}")
told = []
def metrics():
    how = {"strict": rng.random() < 0.6, "on_error": told.append, "series_max": rng.choice([3, 100])}
    labels = rng.choice([None, {"k": "v"}, {"le": "x", "k": ""}, ["a"], ["b", "a"]])
    n = rng.choice([1, 3, 40])
    buckets = sorted(rng.choice([rng.randint(-9, 9), rng.uniform(-5, 5)]) for _ in range(n))
    return [Counter("c_total", "C", labels, **how), Gauge("g", "G", labels, forked=rng.choice(["latest", "sum"]), **how),
            Histogram("h", "H\\n", buckets, labels, **how)]
for _ in range(6):
    c, g, h = mine = metrics()
    for _ in range(120):
        amount, labels, exemplar = rng.choice(AMOUNTS), rng.choice(LABELS), rng.choice(EXEMPLARS)
        target = rng.choice(mine)
        if rng.random() < 0.3 and isinstance(labels, dict):
            target = call(target.labels, **labels) if rng.random() < 0.9 else call(target.labels, "1")
            if target is None:
                continue
            if rng.random() < 0.1:
                call(target.labels, z="1")
            labels = None
        if isinstance(target, Gauge):
            args = (amount,) if labels is None else (amount, labels)
            call(rng.choice([target.set, target.increment, target.decrement]), *args)
            if rng.random() < 0.1: call(target.increment)
            if rng.random() < 0.05: call(target.decrement, amount=amount)
            if rng.random() < 0.05: call(target.set)
            if rng.random() < 0.05: call(target.set, 1, nothing=2)
        else:
            what = target.increment if isinstance(target, Counter) else target.observe
            call(what, amount, labels, exemplar)
            if rng.random() < 0.1: call(what, amount)
            if rng.random() < 0.05: call(what, amount, exemplar=exemplar, labels=labels)
        if rng.random() < 0.02: call(target.reset)
        if rng.random() < 0.05: call(target.value if not isinstance(target, Histogram) else target.values)
    for m in mine:
        out.append(repr(m)); out.append(repr(dict(m.labels))); out.append(repr(m.series_refused))
        found = m.get_value()
        out += [repr((v.value, v.labels)) for v in (found if isinstance(found, list) else [found])]
        out += [repr((x.labels, x.family() if False else "")) for x in m.children()]
        out.append(repr([p._replace(exemplar=p.exemplar and p.exemplar._replace(at_s=0)) for p in m.family().points]))
        out.append(repr(list(inspect.signature(type(m).observe if m is h else type(m).increment).parameters)))
    out.append(exposition.render(mine, labels={"k": "all", "z": "z"}).decode())
    opened = exposition.render(mine, openmetrics=True).decode()
    out.append("\\n".join(line.rpartition(" ")[0] if " # " in line else line for line in opened.splitlines()))
out.append(repr(told))
sys.stdout.buffer.write("\\n".join(out).encode("utf-8", "backslashreplace"))
"""


@pytest.mark.parametrize("seed", range(6))
def test_same_calls_same_results(seed):
    compiled, plain = run("compiled", PROGRAM, seed), run("plain", PROGRAM, seed)
    for one, other in zip(compiled.splitlines(), plain.splitlines(), strict=False):
        assert one == other
    assert compiled == plain
    assert len(compiled) > 10_000
