"""What an event loop waits for: answers of another thread, all in one call; what need not wait."""

import asyncio
import threading

import pytest

from heliograph.core.errors import Unavailable
from heliograph.service import alert_jobs, at_once
from heliograph.service.alert_jobs import Job, Jobs
from heliograph.service.awaited import Answers
from heliograph.service.in_turns import awaited_in_turns
from tests import looped
from tests.service.running import running


def test_answers_come_together():
    async def asking():
        answers, loop = Answers(), asyncio.get_running_loop()
        asked = [answers.awaited() for _ in range(4)]
        asked[3].future.cancel()
        given = []
        plain = loop.call_soon_threadsafe

        def call(give, *args):
            given.append(args)
            plain(give, *args)

        def answer():
            loop.call_soon_threadsafe = call
            taken = [one.set_running_or_notify_cancel() for one in asked]
            asked[0].set_result(7)
            asked[1].set_exception(Unavailable("later"))
            asked[2].set_result(None)
            asked[3].set_result("nobody asks any more")
            answers.send()
            answers.send()
            loop.call_soon_threadsafe = plain
            return taken

        assert await asyncio.to_thread(answer) == [True, True, True, False]
        found = await asyncio.gather(*(one.future for one in asked), return_exceptions=True)
        return found, [len(one) for (one,) in given]

    found, sizes = looped.run(asking())
    assert (found[0], found[2], sizes) == (7, None, [4])
    assert str(found[1]) == "later"
    assert isinstance(found[3], asyncio.CancelledError)


def test_a_loop_that_is_closed_is_told_nothing():
    answers = Answers()

    async def asking():
        return answers.awaited()

    one = looped.run(asking())
    one.set_result(1)
    answers.send()
    assert not one.future.done()


def test_a_loop_that_closes_just_then_is_told_nothing(monkeypatch):
    answers = Answers()

    async def asking():
        return answers.awaited()

    loop = asyncio.new_event_loop()
    one = loop.run_until_complete(asking())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    one.set_result(1)
    answers.send()
    assert not one.future.done()


def test_an_error_that_asyncio_does_not_take_is_told_in_other_words():
    async def asking():
        answers = Answers()
        asked = [answers.awaited() for _ in range(2)]
        asked[0].set_exception(StopIteration(7))
        asked[1].set_result(8)
        answers.send()
        return await asyncio.gather(*(one.future for one in asked), return_exceptions=True)

    error, result = looped.run(asyncio.wait_for(asking(), 10))
    assert (repr(error), result) == ("RuntimeError('StopIteration(7) came of it')", 8)


def test_work_in_turns_is_answered_once_all_of_it_is_kept(tmp_path):
    with running(tmp_path / "data") as site:
        alerting = site.site.flow.alerts.alerting
        pieces = iter([False, False, True])
        turns = []

        def piece(turn):
            turns.append(turn)
            return next(pieces)

        async def asking():
            found = await awaited_in_turns(alerting, piece, lambda: len(turns))
            with pytest.raises(Unavailable, match="mine"):
                await awaited_in_turns(alerting, refuse, lambda: None)
            return found, await alerting.ask(lambda turn: turn.engine.pending)

        def refuse(_):
            raise Unavailable("mine")

        assert looped.run(asking()) == (3, 0)
        assert len(set(map(id, turns))) == 3
        site.assert_sound()
    with pytest.raises(Unavailable, match="stops"):
        alerting.asked(lambda _: None)


def names(jobs):
    return [job.work for job in jobs]


def never():
    raise AssertionError("it need not wait")


def test_jobs_of_a_turn_are_in_order_urgent_ones_first_and_some_alone():
    jobs = Jobs()
    for name, urgent, alone in (
        ("a", 0, 0),
        ("b", 0, 0),
        ("c", 0, 1),
        ("d", 0, 0),
        ("u", 1, 0),
    ):
        jobs.put(Job(name, None, bool(alone)), urgent=bool(urgent))
    first = jobs.gather(never)
    assert (names(first), jobs.together) == (["u", "a", "b"], 3)
    jobs.back(first[1:])
    assert [names(jobs.gather(never)) for _ in range(3)] == [["a", "b"], ["c"], ["d"]]
    assert jobs.gather(lambda: 0.0) == []


def test_the_bounds_of_what_waits(monkeypatch):
    monkeypatch.setattr(alert_jobs, "WAITING_MAX", 2)
    monkeypatch.setattr(alert_jobs, "JOBS_PER_TURN", 2)
    jobs = Jobs()
    for name in "ab":
        jobs.put(Job(name, None), urgent=False)
        jobs.ask(Job(name, None))
    for refused in (
        lambda: jobs.put(Job("c", None), urgent=False),
        lambda: jobs.ask(Job("c", None)),
    ):
        with pytest.raises(Unavailable) as told:
            refused()
        assert told.value.code == "alerts_busy"
    jobs.put(Job("u", None), urgent=True)
    assert names(jobs.gather(never)) == ["u", "a"]
    assert names(jobs.asked()) == ["a", "b"]
    jobs.close()
    with pytest.raises(Unavailable):
        jobs.put(Job("d", None), urgent=False)
    jobs.put(Job("v", None), urgent=True)
    assert names(jobs.end()) == ["v", "b"]
    with pytest.raises(Unavailable):
        jobs.put(Job("w", None), urgent=True)


def test_a_turn_is_woken_by_as_many_jobs_as_the_last_one_had(monkeypatch):
    monkeypatch.setattr(alert_jobs, "TOGETHER_S", 10)
    jobs = Jobs()
    for name in "ab":
        jobs.put(Job(name, None), urgent=False)
    jobs.gather(never)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(names(jobs.gather(never))), daemon=True
    )
    thread.start()
    for name in "cd":
        assert not found
        jobs.put(Job(name, None), urgent=False)
    thread.join(10)
    assert found == [["c", "d"]]


async def given(value):
    return value


async def awaited(future):
    return await future


def test_what_need_not_wait_has_no_timer():
    async def asking():
        loop = asyncio.get_running_loop()
        loop.call_at = never
        return await at_once.within(given(7), limit_s=1)

    assert looped.run(asking()) == 7


def test_what_waits_has_a_limit():
    async def asking():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, 8)
        in_time = await at_once.within(awaited(future), limit_s=10)
        with pytest.raises(TimeoutError):
            await at_once.within(awaited(loop.create_future()), limit_s=0)
        broken = loop.create_future()
        loop.call_soon(broken.set_exception, ValueError("mine"))
        with pytest.raises(ValueError, match="mine"):
            await at_once.within(awaited(broken), limit_s=10)
        cancelled = asyncio.ensure_future(
            at_once.within(awaited(loop.create_future()), limit_s=10)
        )
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return in_time

    assert looped.run(asking()) == 8
