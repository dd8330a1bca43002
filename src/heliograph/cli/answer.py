"""What an answer must look like, for whatever stands at an address may answer 200.

    fits({"items": [{"id": "x"}], "total": 1}, {"items": [{"id": str}], "total": int})

A shape is a type, a list of one shape, or a mapping of the keys that must be there; NOTHING is no
body at all.
"""

from typing import Any, Final

NOTHING: Final = None


def fits(answer: Any, shape: Any) -> bool:
    """Whether *answer* has all that *shape* asks for; it may have more."""
    if isinstance(shape, dict):
        return isinstance(answer, dict) and all(
            key in answer and fits(answer[key], inner) for key, inner in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(answer, list) and all(fits(one, shape[0]) for one in answer)
    return isinstance(answer, shape)
