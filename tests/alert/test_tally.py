"""What episodes come to in the statistics, whose numbers have 64 bits."""

from heliograph.alert.config.setup import empty
from heliograph.alert.engine.tally import DURATION_MAX_NS, EARLIEST_NS
from heliograph.core.instant import AT_NS_MIN
from heliograph.store.state.alert_sums import ERA_NS
from tests.alert.alert_runner import Runner, post


def test_a_start_at_the_first_instant_there_is_counts_in_the_first_era():
    run = Runner(empty())
    posts = [
        post({"alertname": "A", "node": node}, at_ns=run.now_ns, starts_ns=AT_NS_MIN, ends_ns=0)
        for node in "12"
    ]
    run.take(posts)

    assert EARLIEST_NS % ERA_NS == 0
    assert AT_NS_MIN <= EARLIEST_NS < AT_NS_MIN + ERA_NS
    # Together they fired for longer than 64 bits tell.
    assert {key[:2]: sums for key, sums in run.store.statistics.items()} == {
        (EARLIEST_NS, "A"): [0, 2, DURATION_MAX_NS]
    }
