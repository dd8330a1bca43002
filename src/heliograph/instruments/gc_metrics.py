"""The garbage collector of this interpreter, by generation, under the names dashboards know.

python_gc_collections_total{generation="2"} 7
python_gc_objects_collected_total{generation="2"} 1024
python_gc_objects_uncollectable_total{generation="2"} 0
"""

import gc

from heliograph.instruments.family import Family, Point

_SHOWN = (
    ("objects_collected", "collected", "Objects collected during gc"),
    ("objects_uncollectable", "uncollectable", "Uncollectable objects found during GC"),
    ("collections", "collections", "Number of times this generation was collected"),
)


def gc_metrics() -> list[Family]:
    """The families, now; none where an interpreter has no such statistics."""
    if not hasattr(gc, "get_stats"):
        return []
    stats = gc.get_stats()
    return [
        Family(
            f"python_gc_{name}_total",
            "counter",
            text,
            "",
            [
                Point("", (("generation", str(n)),), float(generation[key]))
                for n, generation in enumerate(stats)
            ],
        )
        for name, key, text in _SHOWN
    ]
