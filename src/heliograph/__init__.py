"""Heliograph: telemetry for AI training.

    import heliograph

    steps = heliograph.counter("steps_total", "Steps done")
    for batch in batches:
        steps.increment()
    heliograph.event("checkpoint", {"path": "/ckpt/41"})

`counter`, `gauge`, `histogram`, `summary`, `event`, `timer` and `track_step` never raise;
`collector()` is where they live, to be served, exported or shipped. Each part is loaded when it is
first used: importing this costs next to nothing.
"""

__version__ = "0.1.0"

# What type checkers take for True; `typing` itself would be most of the cost of the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph import instruments as instruments
    from heliograph import projection as projection
    from heliograph import recorder as recorder
    from heliograph import ship as ship
    from heliograph import usage as usage
    from heliograph.instruments.face import collector as collector
    from heliograph.instruments.face import counter as counter
    from heliograph.instruments.face import event as event
    from heliograph.instruments.face import gauge as gauge
    from heliograph.instruments.face import histogram as histogram
    from heliograph.instruments.face import summary as summary
    from heliograph.instruments.face import timer as timer
    from heliograph.instruments.face import track_step as track_step

_FACE = {
    *("collector", "counter", "event", "gauge", "histogram", "summary", "timer", "track_step"),
}
_PARTS = {"instruments", "projection", "recorder", "ship", "usage"}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _FACE:
            from heliograph.instruments import face

            found: object = getattr(face, name)
        elif name in _PARTS:
            from importlib import import_module

            found = import_module(f"heliograph.{name}")
        else:
            raise AttributeError(f"module 'heliograph' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_FACE, *_PARTS})
