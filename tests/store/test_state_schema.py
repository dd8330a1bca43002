"""The schema: made and migrated alike on both engines, never backwards, and indexed for every query."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, text

from heliograph.core.errors import ConfigError
from heliograph.core.owner import Pod, Workload
from heliograph.core.training import TrainingRow
from heliograph.store.state import (
    catalogue,
    cursors,
    dirty,
    engines,
    meta,
    owners,
    owners_list,
    owners_prune,
    partials,
    revisions,
    training,
    training_adding,
    versions,
)
from heliograph.store.state.lanes import Lane
from heliograph.store.state.partials import Partial
from heliograph.store.state.state import State


def writer_of(state_url, path):
    if state_url is None:
        return engines.sqlite_writer(path / "state.db")
    return engines.postgresql_writer(engines.parse_url(state_url))


def test_migrations_from_nothing_make_the_tables_we_use(state_url, tmp_path, clock):
    engine = writer_of(state_url, tmp_path)
    for _ in range(2):
        with engine.begin() as tx:
            revisions.migrate(tx)
    with engine.begin() as tx:
        assert revisions.stored(tx) == revisions.HEAD
        assert compare_metadata(MigrationContext.configure(tx), catalogue.metadata) == []
    engine.dispose()
    state = State.open(state_url, tmp_path, clock)
    assert state.read(cursors.get_all) == {}
    state.close()


def test_a_new_database_is_what_the_migrations_make(tmp_path, clock):
    """On SQLite word for word: `create_all` and the migrations say the same."""

    def schema(folder):
        with closing(sqlite3.connect(folder / "state.db")) as db:
            rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {name: " ".join(sql.split()) for name, sql in rows}

    State.open(None, tmp_path / "made", clock).close()
    (tmp_path / "migrated").mkdir()
    engine = writer_of(None, tmp_path / "migrated")
    with engine.begin() as tx:
        revisions.migrate(tx)
    engine.dispose()
    made, migrated = schema(tmp_path / "made"), schema(tmp_path / "migrated")
    made.pop("alembic_version"), migrated.pop("alembic_version")
    assert made == migrated


def test_an_index_of_some_rows_is_one_on_both_engines(state_url, tmp_path, clock):
    listing = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND instr(sql, ' WHERE ') > 0",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE strpos(indexdef, ' WHERE ') > 0 "
        "AND schemaname = current_schema()",
    }
    named = {
        index.name
        for table in catalogue.metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    with closing(State.open(state_url, tmp_path, clock)) as state:
        found = state.read(
            lambda tx: set(tx.exec_driver_sql(listing[tx.dialect.name]).scalars())
        )

    assert named
    assert found == named


def test_the_head_is_alembics_head():
    script = ScriptDirectory(str(revisions.MIGRATIONS))
    assert script.get_current_head() == revisions.HEAD
    assert len(list(script.walk_revisions())) == len(revisions.KNOWN)


def test_a_newer_schema_is_refused_in_words_and_left_alone(state_url, tmp_path, clock):
    State.open(state_url, tmp_path, clock).close()
    engine = writer_of(state_url, tmp_path)
    with engine.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(ConfigError, match="schema 9999.*newer version"):
            State.open(state_url, tmp_path, clock)
    with engine.begin() as tx:
        assert revisions.stored(tx) == "9999"
    engine.dispose()


NEXT = '''"""{n}: a column more."""
import sqlalchemy as sa
from alembic import op
revision = "{n}"
down_revision = "{before}"
def upgrade():
    op.add_column("meta", sa.Column("more", sa.Text()))
    {then}
'''


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """Makes us a version that knows one more revision, whose last statement is the argument."""

    def become(then="pass"):
        folder = tmp_path / "migrations"
        shutil.copytree(revisions.MIGRATIONS, folder, dirs_exist_ok=True)
        n = f"{int(revisions.KNOWN[-1]) + 1:04}"
        (folder / "versions" / f"r{n}_more.py").write_text(
            NEXT.format(n=n, before=revisions.KNOWN[-1], then=then)
        )
        monkeypatch.setattr(revisions, "MIGRATIONS", folder)
        monkeypatch.setattr(revisions, "KNOWN", (*revisions.KNOWN, n))
        monkeypatch.setattr(revisions, "HEAD", n)

    return become


def columns_of_meta(tx):
    return list(tx.execute(text("SELECT * FROM meta")).keys())


def test_an_upgrade_keeps_the_data_and_copies_the_file_first(
    state_url, tmp_path, clock, next_version
):
    state = State.open(state_url, tmp_path, clock)
    state.write(lambda tx: cursors.advance(tx, "effects", 7), lane=Lane.CONTROL).result(10)
    state.close()
    before = revisions.HEAD
    next_version()

    state = State.open(state_url, tmp_path, clock)
    assert state.read(cursors.get_all) == {"effects": 7}
    assert state.read(columns_of_meta) == ["key", "value", "more"]
    assert state.read(revisions.stored) == revisions.HEAD
    state.close()
    backup = tmp_path / "backups" / f"state-{before}.db"
    assert backup.exists() == (state_url is None)
    if state_url is None:
        with closing(sqlite3.connect(backup)) as db:
            assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [
                (before,)
            ]
            assert db.execute("SELECT name, seq FROM cursors").fetchall() == [("effects", 7)]


def test_an_upgrade_that_fails_leaves_the_old_schema(state_url, tmp_path, clock, next_version):
    State.open(state_url, tmp_path, clock).close()
    before = revisions.HEAD
    next_version(then="raise ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        State.open(state_url, tmp_path, clock)
    engine = writer_of(state_url, tmp_path)
    with engine.begin() as tx:
        assert revisions.stored(tx) == before
        assert columns_of_meta(tx) == ["key", "value"]
    engine.dispose()


def test_opening_needs_no_alembic(tmp_path):
    code = (
        "import sys; from pathlib import Path; from heliograph.core.clock import SystemClock;"
        "from heliograph.store.state.state import State;"
        f"[State.open(None, Path({str(tmp_path)!r}), SystemClock()).close() for _ in range(2)];"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


ROW = TrainingRow("p", "log", "7", 5, 5, None, "f", {})
PARTIAL = Partial("p", "c", "s", "t", 1)
QUERIES = [
    lambda tx: cursors.advance(tx, "a", 1),
    lambda tx: cursors.forget(tx, "a"),
    lambda tx: versions.get(tx, "a"),
    lambda tx: versions.bump(tx, "a"),
    lambda tx: meta.get(tx, "a"),
    lambda tx: meta.put(tx, "a", "b"),
    lambda tx: owners.upsert_workloads(tx, [Workload("w", "w")]),
    lambda tx: owners.upsert_pods(tx, [Pod("p", "p")]),
    lambda tx: owners.replace_holds(tx, "p", []),
    lambda tx: owners.holds_of(tx, ["p", "q"]),
    lambda tx: owners_list.list_workloads(tx, name="a"),
    lambda tx: owners_list.list_workloads(tx, namespace="a", status="b"),
    lambda tx: owners_list.list_workloads(tx, kind="a"),
    lambda tx: owners_prune.prune(tx, 50, 10),
    lambda tx: training_adding.add_rows(tx, [ROW]),
    lambda tx: training.rows(tx, ["p", "q"], start_ns=0, end_ns=9, limit=5, after=ROW),
    lambda tx: training.edges(tx, ["p", "q"]),
    lambda tx: training.latest(tx, ["p", "q"]),
    lambda tx: training.prune(tx, 3, 10),
    lambda tx: partials.delete(tx, [PARTIAL[:3]]),
    lambda tx: dirty.delete_dirty(tx, [dirty.DirtySpan(1, 2, 1)]),
]


def plans_of(state, work):
    """The plan of every statement that *work* runs, and what it would scan whole."""
    found = []

    def explain(_connection, cursor, statement, parameters, _context, many):
        if statement.lstrip().startswith(("SELECT", "WITH", "DELETE", "UPDATE", "INSERT")):
            one = parameters[0] if many else parameters
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", one)
            found.append((statement, [row[3] for row in plan]))

    engine = state._writer
    event.listen(engine, "before_cursor_execute", explain)
    state.write(work, lane=Lane.CONTROL).result(10)
    event.remove(engine, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_reads_a_whole_table(tmp_path, clock, query):
    state = State.open(None, tmp_path, clock)
    plans = plans_of(state, query)
    state.close()
    assert plans
    tables = set(catalogue.metadata.tables)
    for statement, plan in plans:
        scans = [step for step in plan if step.startswith("SCAN") and step.split()[1] in tables]
        assert not scans, (statement, plan)


def test_a_page_without_filters_walks_its_index(tmp_path, clock):
    state = State.open(None, tmp_path, clock)
    plans = plans_of(state, owners_list.list_workloads)
    state.close()
    page = plans[-1][1]
    assert page == ["SCAN workloads USING INDEX ix_workloads_seen_ns_uid"]
