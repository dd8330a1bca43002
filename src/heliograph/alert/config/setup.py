"""All that configuration says about alerts, checked and complete: who is told what, and when not.

The parts that come over the API are put over the file's with `with_api_routes`; a reload makes a
new `Setup`, and the old one stays whole until it is replaced.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from heliograph.alert.config import original
from heliograph.alert.inhibition import Inhibition
from heliograph.alert.intervals import Intervals
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import API, Route, Tree
from heliograph.core.duration import MINUTE_NS


class Setup(Struct, frozen=True):
    """What the engine works by. Without a file: nobody is told anything.

    tree                routes of the API, then the file's
    receivers           by name; those of the API are called `api/<route id>`
    intervals           by name
    resolve_timeout_ns  an alert of the v2 API without an end resolves after so long without news
    original            YAML that amtool reads: the routes as they are, secrets as placeholders
    templates           globs of template files, as the file has them
    defaults            `global:` as decoded, for channels that come over the API
    retired             channels of the API that are told of no alert any more, but of the end of what
                        they were told
    """

    tree: Tree
    receivers: Mapping[str, Receiver]
    inhibitions: tuple[Inhibition, ...] = ()
    intervals: Mapping[str, Intervals] = {}
    resolve_timeout_ns: int = 5 * MINUTE_NS
    external_url: str = ""
    original: str = ""
    templates: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = {}
    retired: tuple[Integration, ...] = ()

    def integrations(self) -> Iterator[Integration]:
        """Every channel that may be told something."""
        for receiver in self.receivers.values():
            yield from receiver.integrations
        yield from self.retired


def empty() -> Setup:
    """The setup of no configuration: alerts are kept and shown, and nobody is told."""
    return completed(Setup(tree=Tree(), receivers={}))


def with_api_routes(
    setup: Setup,
    routes: Sequence[Route],
    receivers: Sequence[Receiver],
    retired: Sequence[Integration] = (),
) -> Setup:
    """*setup* with *routes* of the API, in order, in place of those that it has, their *receivers*,
    and the channels that are *retired*."""
    kept = {name: one for name, one in setup.receivers.items() if not name.startswith(API)}
    kept |= {one.name: one for one in receivers}
    tree = Tree(api=routes, file=setup.tree.file)
    changed = structs.replace(setup, tree=tree, receivers=kept, retired=tuple(retired))
    return completed(changed)


def completed(setup: Setup) -> Setup:
    """*setup* with the `original` that its other parts make."""
    text = original.text_of(
        tree=setup.tree,
        receivers=setup.receivers,
        inhibitions=setup.inhibitions,
        intervals=setup.intervals,
        templates=setup.templates,
        resolve_timeout_ns=setup.resolve_timeout_ns,
    )
    return structs.replace(setup, original=text)
