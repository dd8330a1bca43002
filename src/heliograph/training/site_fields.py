"""Field names as people write them in patterns → the key that reads their values.

current_iteration, CurrentIteration, iteration, step     current_iteration, a whole number
elapsed_time_per_iteration_ms, ElapsedTimePerIterationMS  milliseconds, unless the value says so
MemUsage, mem_usage_gb                                    GB;  MemUsages, mem_usages a fraction
tokens_per_gpu_avg                                        a running average
GpuTemperature                                            extra.gpu_temperature
"""

import re

from heliograph.training import fields as fields_of
from heliograph.training.fields import Key
from heliograph.training.vocabulary import (
    FRACTION,
    MEASURED,
    MEMORY,
    NAMES,
    NUMBER,
    PERCENT,
    RATE,
    TFLOPS,
    TIME,
    WHOLE,
)

# field → (dimension, unit of a bare number)
_FIELDS: dict[str, tuple[int, str]] = {
    **{field: (dimension, "") for field, dimension, _ in NAMES.values()},
    "current_iteration": (WHOLE, ""),
    "elapsed_time_per_iteration_ms": (TIME, "ms"),
    "mfu": (PERCENT, "%"),
    "mem_usage_ratio": (PERCENT, "%"),
    **dict.fromkeys(
        ("mem_usage_gb", "mem_free_gb", "mem_total_gb", "mem_reserved_gb", "mem_max_gb"),
        (MEMORY, "gb"),
    ),
    **dict.fromkeys(
        ("tokens_per_gpu", "tokens_per_second", "samples_per_second", "steps_per_second"),
        (RATE, ""),
    ),
    "tflops": (TFLOPS, ""),
}
_ALIASES = {
    "iteration": "current_iteration",
    "step": "current_iteration",
    "loss": "total_loss",
    "elapsed_ms": "elapsed_time_per_iteration_ms",
    "elapsed_time_per_iteration": "elapsed_time_per_iteration_ms",
    "samples_per_s": "samples_per_second",
    "tokens_per_s": "tokens_per_second",
    "steps_per_s": "steps_per_second",
    "aux_loss": "auxiliary_loss",
    "mem_usage": "mem_usage_gb",
    "mem_allocated": "mem_usage_gb",
    "mem_free": "mem_free_gb",
    "mem_total": "mem_total_gb",
    "mem_reserved": "mem_reserved_gb",
    "mem_max": "mem_max_gb",
    "skipped_iterations_number": "skipped_iterations",
    "nan_iterations_number": "nan_iterations",
    "total_iterations": "target_iteration",
}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def key_of(name: str) -> Key:
    """The key of field *name*; one that is no training field is a number under `extra`."""
    plain = _HUMP.sub("_", name).lower()
    if plain == "mem_usages":
        return Key("mem_usage_ratio", FRACTION, "", None, measured=True)
    field = _ALIASES.get(plain, plain)
    inner = field.removesuffix("_avg")
    if inner not in _FIELDS:
        found = fields_of.named(name)
        return found if found is not None and found.known else Key(plain, NUMBER, known=False)
    dimension, unit = _FIELDS[inner]
    scale = fields_of.scale_of(dimension, unit)
    return Key(field, dimension, unit, scale, measured=inner in MEASURED)
