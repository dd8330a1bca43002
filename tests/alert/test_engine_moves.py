"""When an end that a repeat moved is written: soon where the stored one is near, else in its time."""

from heliograph.alert.config.setup import empty
from heliograph.alert.engine.cold import said_of
from tests.alert.alert_runner import Runner, ns, post

FAR_S, NEAR_S = 600, 100


def fired(run, *names, ends_s):
    """Alerts that fire until then; what `repeat` is asked of them by."""
    posts = [post({"alertname": name}, at_ns=ns(0), ends_ns=ns(ends_s)) for name in names]
    run.take(posts)
    run.commit()
    return [(one.fingerprint, said_of(one)) for one in posts]


def repeated(run, words, at_s):
    run.engine.step(ns(at_s))
    posts = [(*one, None, ns(at_s + FAR_S)) for one in words]
    assert run.engine.repeats(posts, 0, ns(at_s)) == len(words)


def ids(changes):
    return [move[0] for move in changes.moved]


def test_an_end_that_is_far_waits_and_one_that_is_near_does_not():
    run = Runner(empty())
    far = fired(run, "far", ends_s=FAR_S)
    near = fired(run, "near", ends_s=NEAR_S)
    repeated(run, far + near, 5)

    changes = run.engine.changes(checkpoint=10, early=False)
    assert [move[1] for move in changes.moved] == [ns(5 + FAR_S)]
    assert changes.alive_ns == ns(5)
    run.engine.commit()
    assert not run.engine.changes(checkpoint=10, early=False)

    repeated(run, far, 50)
    assert not run.engine.changes(checkpoint=10, early=False)
    repeated(run, far, 66)
    changes = run.engine.changes(checkpoint=10, early=False)
    assert [(move[1], move[3]) for move in changes.moved] == [(ns(66 + FAR_S), 4)]
    run.engine.commit()
    assert not run.engine.changes()


def test_they_are_written_some_at_a_time_and_the_last_says_so():
    run = Runner(empty())
    words = fired(run, *(f"a{n}" for n in range(7)), ends_s=FAR_S)
    repeated(run, words, 5)

    pieces = []
    while not pieces or not pieces[-1].alive_ns:
        pieces.append(run.engine.changes(checkpoint=3))
        run.engine.commit()

    assert [len(piece.moved) for piece in pieces] == [3, 3, 1]
    assert len({one for piece in pieces for one in ids(piece)}) == 7


def test_what_could_not_be_written_is_first_the_next_time():
    run = Runner(empty())
    words = fired(run, "a", "b", "c", ends_s=FAR_S)
    repeated(run, words, 5)
    first = ids(run.engine.changes(checkpoint=2))
    # A repeat while the transaction runs.
    posts = [(*words[0], None, ns(7 + FAR_S))]
    assert run.engine.repeats(posts, 0, ns(7)) == 1
    run.engine.abort()

    again = run.engine.changes(checkpoint=2, early=False)
    assert ids(again) == first
    assert again.moved[0][1] == ns(7 + FAR_S)
    run.engine.commit()
    assert len(run.engine.changes().moved) == 1


def test_repeats_are_taken_up_to_the_first_that_is_none():
    run = Runner(empty())
    one, two = fired(run, "a", "b", ends_s=FAR_S)
    end_ns = ns(5 + FAR_S)
    posts = [(*one, None, end_ns), (two[0], two[1] + 1, None, end_ns), (*one, None, end_ns)]

    assert run.engine.repeats(posts, 0, ns(5)) == 1
    assert run.engine.repeats([(*one, None, ns(4))], 0, ns(5)) == 0
    assert [move[3] for move in run.engine.changes().moved] == [2]
