"""What can rot is read: keys, commands, links, words, decisions."""

import re
import typing

import click
import msgspec
import pytest

from heliograph.cli.main import main
from heliograph.core import config, document
from heliograph.service.config import Config
from tests.house import ROOT

DOCS = ROOT / "docs"
CONFIGURATION = DOCS / "configuration.md"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")])
WORDS = """series label sample matcher record body batch frame log cursor applier head seal segment
    level roll-up window owner hold placement attribution view run iteration marker stream episode
    silence route receiver""".split()


def keys(kind, place=""):
    """Every key of *kind* as it is documented: `limits.body_mb`, `forwards[].url`."""
    if typing.get_origin(kind) in {list, tuple}:
        yield from keys(typing.get_args(kind)[0], f"{place}[]")
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            here = f"{place}.{field.encode_name}".lstrip(".")
            below = list(keys(field.type, here))
            yield from below or [here]
    else:
        for part in typing.get_args(kind):
            yield from keys(part, place)


def test_every_configuration_key_is_documented():
    text = CONFIGURATION.read_text()

    assert [key for key in keys(Config) if f"`{key}`" not in text] == []


def test_no_key_is_documented_that_is_not_there():
    documented = re.findall(
        r"^\| *`([a-z0-9_.\[\]]+)`", CONFIGURATION.read_text(), re.MULTILINE
    )

    assert [key for key in documented if key not in set(keys(Config))] == []


def test_the_examples_of_configuration_load():
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", CONFIGURATION.read_text(), re.DOTALL | re.MULTILINE
    )

    assert blocks
    for block in blocks:
        config.decode(Config, document.parse(block, source="docs"), source="docs")


def _commands(command, words):
    yield " ".join(words)
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from _commands(below, [*words, name])


def test_every_command_is_documented():
    text = "\n".join(page.read_text() for page in PAGES)

    commands = _commands(main, ["heliograph"])
    assert [line for line in commands if not re.search(rf"{re.escape(line)}\b", text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    near = [link.partition("#")[0] for link in links if "://" not in link]

    assert [link for link in near if link and not (page.parent / link).exists()] == []


def test_the_vocabulary_defines_each_word_once():
    words = re.findall(
        r"^\| \*\*(.+?)\*\* \|", (DOCS / "vocabulary.md").read_text(), re.MULTILINE
    )

    assert [word for word in WORDS if word not in words] == []
    assert sorted(words) == sorted(set(words))


def test_decisions_are_numbered_and_say_why():
    decisions = sorted(DOCS.glob("decisions/0*.md"))

    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]} ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequence",
        ]
