"""`heliograph info`: version, whether the kernels are compiled, which libraries are there."""

import importlib.metadata
import platform

import click

LIBRARIES = (
    "starlette", "uvicorn", "uvloop", "msgspec", "numpy", "pcodec", "sqlalchemy", "alembic",
    "cramjam", "google-re2", "httpx2", "psycopg",
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def info(as_json: bool) -> None:
    """Say what is installed and how fast it can be."""
    import sqlite3

    from heliograph import __version__
    from heliograph.kernels import remote_write

    facts: dict[str, object] = {
        "heliograph": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kernels": "compiled" if remote_write.COMPILED else "plain Python, slower",
        "sqlite": sqlite3.sqlite_version,
    }
    for library in LIBRARIES:
        try:
            facts[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            facts[library] = None
    if as_json:
        import json

        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:12} {'not installed' if value is None else value}")
