"""A service to ask: `site` is fresh for each test, `shared_site` is one for a module's battery.

@pytest.mark.parametrize("site", [{"limits": {"body_mb": 1}}], indirect=True)
"""

import pytest

pytest.register_assert_rewrite("tests.service.running")

from tests.service.running import resident_bytes, running  # noqa: E402 - after the line above

RESIDENT_GROWTH_BYTES_MAX = 64 * 1024 * 1024


@pytest.fixture
def site(request, tmp_path):
    """A service of its own; the parameter is its configuration, by section."""
    with running(tmp_path / "data", **getattr(request, "param", {})) as asked:
        yield asked


@pytest.fixture
def guarded(request, tmp_path):
    """`site` with a token of each role in `tokens`."""
    with running(tmp_path / "data", with_tokens=True, **getattr(request, "param", {})) as asked:
        yield asked


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    """One service for all cases of a module; sound, and free of every canary, in the end."""
    with running(tmp_path_factory.mktemp("site") / "data") as asked:
        asked.write([({"__name__": "first"}, [])])
        before_bytes = resident_bytes()
        yield asked
        asked.assert_sound()
        assert asked.canaries() == []
        assert resident_bytes() - before_bytes < RESIDENT_GROWTH_BYTES_MAX
