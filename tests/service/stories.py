"""What the stories of the service share: instants, a service that is put through its paces, a model.

    with told(tmp_path, clock) as site:      a service whose upkeep comes when it is called
        seal(site, clock); upkeep(site)

A story is told over HTTP and asked over HTTP; only upkeep is called by hand.
"""

import json
import shutil
from contextlib import contextmanager, suppress

from heliograph.core import instant
from heliograph.core.clock import SystemClock
from heliograph.service import maintenance
from tests.service.running import NOW_MS, running

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# Stories end now, at a whole minute, and begin three hours before.
END_MS = NOW_MS - NOW_MS % MINUTE_MS
T0_MS = END_MS - 3 * HOUR_MS
SEAL_S = 301
WAIT_S = 40
COPIES_MAX = 50
machine = SystemClock()


def at(ms):
    """*ms* as a document says it."""
    return instant.text_of(ms * 10**6)


def gpu(number, uuid=None, **more):
    """A GPU as a placement names it."""
    return {"type": "gpu", "id": str(number), **({"uuid": uuid} if uuid else {}), **more}


def placements(pods, workloads=()):
    """A placement document."""
    return {"workloads": list(workloads), "pods": list(pods)}


def posted(site, path, document):
    """POST it; what came back, which must be 200."""
    answer = site.post(path, document)
    assert answer.status == 200, (path, answer.body[:500])
    return answer.json()


def written(site, series):
    """Write *series*; it must be taken."""
    answer = site.write(series)
    assert answer.status == 204, answer.body[:500]


def explained(site, labels, ms):
    """The answer of /v1/attribution."""
    return site.get("/v1/attribution", labels=json.dumps(labels), at=at(ms)).json()


def wait_for(condition, why, timeout_s=WAIT_S):
    """Wait until *condition()* is true, and give what it was; *why* says what did not come."""
    until_s = machine.monotonic_s() + timeout_s
    while not (found := condition()):
        assert machine.monotonic_s() < until_s, why() if callable(why) else why
        machine.sleep(0.01)
    return found


def settled(site):
    """Wait until all that is in the log is applied."""
    flow, log = site.site.flow, site.site.core.log
    wait_for(lambda: flow.applier.position >= log.end, "the applier does not come to the end")


def seal(site, clock):
    """Have everything in segments."""
    settled(site)
    clock.advance(SEAL_S)

    def sealed():
        site.site.core.log.nudge()
        return not site.site.core.segments.stats().samples_in_head

    wait_for(sealed, "nobody seals")


def upkeep(site):
    """One round of maintenance, now."""
    site.site.flow.maintenance.round()
    assert site.measured("heliograph_bugs_total") == {}


def killed(folder, copy):
    """What a power cut leaves of *folder*, as a folder of its own: files as they stood at one moment,
    so a copy during which one has changed is no such thing."""
    for _ in range(COPIES_MAX):
        before = stood(folder)
        with suppress(shutil.Error):
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock"))
            if stood(folder) == before:
                return copy
        shutil.rmtree(copy)
    raise AssertionError(f"{folder} changed during each of {COPIES_MAX} copies")


def stood(folder):
    """Each file of *folder* with its size and its last change."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            state = path.stat()
            found[path] = (state.st_size, state.st_mtime_ns)
    return found


@contextmanager
def told(folder, clock, **sections):
    """A service on *folder* whose maintenance runs only when it is called."""
    before = maintenance.ROUND_S
    maintenance.ROUND_S = 3600.0
    try:
        with running(folder, clock=clock, **sections) as site:
            yield site
    finally:
        maintenance.ROUND_S = before
