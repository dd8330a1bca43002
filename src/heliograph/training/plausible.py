"""Speeds that no device has: kept as printed, and left out of everything derived from them.

    completed step: 2, seconds: 0.002, TFLOP/s/device: 917442.589, Tokens/s/device: 19907654.9

Asynchronous dispatch returns before the work is done, so a step can seem to take no time (MaxText).
All speeds of such a row are the same fiction, its step time too; its loss is not.
"""

from collections.abc import Mapping
from typing import Any

# The fastest devices reach a quarter of it, in their narrowest numbers.
TFLOPS_MAX = 50_000.0
MFU_MAX = 100.0


def speeds_are_real(fields: Mapping[str, Any]) -> bool:
    """Whether the speeds of a row, by field name, can be those of a real step."""
    tflops, mfu = fields.get("tflops"), fields.get("mfu")
    return not (
        (isinstance(tflops, float | int) and tflops > TFLOPS_MAX)
        or (isinstance(mfu, float | int) and mfu > MFU_MAX)
    )
