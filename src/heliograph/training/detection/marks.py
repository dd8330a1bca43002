"""What an image's name shows: `rocm/primus:v25.9`, `nvcr.io/nvidia/nemo:25.07`, `ghcr.io/…/torchtitan`.

Only the path is read, not the registry's host: `megatron.example.com/app` shows nothing.
"""

import re

from heliograph.training.detection.evidence import Detection
from heliograph.training.detection.layers import named

CONFIDENCE = 0.5
METHOD = "image_name"
IMAGE_CHARS_MAX = 512

_NAMES = (
    *("primus", "nemo", "axolotl", "llama-factory", "llamafactory", "openrlhf", "verl"),
    *("torchtitan", "torchtune", "mindspeed", "megatron", "deepspeed", "maxtext", "t5x"),
    *("composer", "lightning", "vllm", "jax", "transformers"),
)
_SPELLED = {
    "llamafactory": "llama-factory",
    "mindspeed": "megatron",
    "maxtext": "jax",
    "t5x": "jax",
}
_ANY = re.compile("|".join(rf"(?<![a-z]){name}(?![a-z])" for name in _NAMES))


def of_image(image: str) -> Detection | None:
    """The framework that the name of *image* shows, or None."""
    first, slash, rest = image[:IMAGE_CHARS_MAX].lower().partition("/")
    # Docker's rule: what has a dot or a port before the first slash is a host.
    path = rest if slash and ("." in first or ":" in first or first == "localhost") else image
    found = _ANY.findall(path[:IMAGE_CHARS_MAX].lower())
    if not found:
        return None
    name = min(found, key=_NAMES.index)
    return Detection(named(_SPELLED.get(name, name)), CONFIDENCE, METHOD)
