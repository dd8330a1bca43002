"""What a training process reported of itself → the framework that it shows, by the strongest proof.

    {"wrapper_frameworks": {"primus": {"detected": true, "base_framework": "Megatron"}}}
        primus over megatron, 0.90, import_detection
    {"environment": {"DS_CONFIG": "x"}}                      deepspeed, 0.80, env_vars
    {"wandb": {"config": {"trainer": "MyMegatronTrainer"}}}  megatron, 0.65, wandb_config_trainer
    {"pytorch": {"available": true, "detected_modules": {"lightning": true}}}
        lightning, 0.60, pytorch_modules

The proofs are tried in that order, and the first that there is wins. Malformed parts prove
nothing. Confidences and names of methods are those that existing agents' users know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.training.detection.layers import NAME_CHARS_MAX, Stack, named

_IMPORTED_WRAPPERS = ("primus", "lightning", "pytorch_lightning", "transformers_trainer")
_IMPORTED_BASES = ("megatron", "deepspeed", "jax", "transformers")
# Presence counts, not the value: jobs switch a framework on by an empty variable too.
_VARIABLES = (
    ("primus", ("PRIMUS_CONFIG", "PRIMUS_VERSION", "PRIMUS_BACKEND")),
    ("deepspeed", ("DEEPSPEED_CONFIG", "DS_CONFIG", "DEEPSPEED_VERSION")),
    ("megatron", ("MEGATRON_CONFIG", "MEGATRON_LM_PATH")),
    ("jax", ("JAX_BACKEND", "JAX_PLATFORMS")),
)
_CONFIG_KEYS = (
    ("primus", "primus_config"),
    ("deepspeed", "deepspeed_config"),
    ("megatron", "megatron_config"),
)
_MODULES = (
    ("lightning", 0.60),
    ("deepspeed", 0.60),
    ("megatron", 0.60),
    ("transformers", 0.55),
)
# Names looked for inside other words, the more telling first.
_WITHIN = ("primus", "megatron", "deepspeed", "lightning", "transformers", "jax")


class Detection(NamedTuple):
    """One proof: the *stack* it shows, how sure that is (0..1), and by which *method*."""

    stack: Stack
    confidence: float
    method: str


def of_evidence(
    evidence: Mapping[str, Any], hints: Mapping[str, Any] | None = None
) -> Detection | None:
    """What *evidence*, or in want of any *hints*, shows; None when neither shows a framework."""
    for proof in _PROOFS:
        found = proof(evidence)
        if found is not None and found.stack.framework:
            return found
    return _hints(hints or {})


def _imports(evidence: Mapping[str, Any]) -> Detection | None:
    wrappers = _detected(evidence.get("wrapper_frameworks"))
    bases = _detected(evidence.get("base_frameworks"))
    wrapper = _first(wrappers, _IMPORTED_WRAPPERS)
    base = _word(_mapping(wrappers.get(wrapper)).get("base_framework")) if wrapper else ""
    stack = Stack(wrapper, base or _first(bases, _IMPORTED_BASES))
    return Detection(stack, 0.9, "import_detection")


def _environment(evidence: Mapping[str, Any]) -> Detection | None:
    environment = _mapping(evidence.get("environment"))
    for name, variables in _VARIABLES:
        if not environment.keys().isdisjoint(variables):
            base = _word(environment.get("PRIMUS_BACKEND")) if name == "primus" else ""
            return Detection(
                named(name)._replace(base=base or named(name).base), 0.8, "env_vars"
            )
    return Detection(named(_word(environment.get("FRAMEWORK"))), 0.75, "env_framework")


def _config(evidence: Mapping[str, Any]) -> Detection | None:
    config = _mapping(_mapping(evidence.get("wandb")).get("config"))
    base = _word(config.get("base_framework"))
    if framework := _word(config.get("framework")):
        stack = named(framework)
        if stack.wrapper and base:
            stack = stack._replace(base=base)
        return Detection(stack, 0.7, "wandb_config_framework")
    if base:
        return Detection(Stack(base=base), 0.7, "wandb_config_base_framework")
    if trainer := _within(_word(config.get("trainer"))):
        return Detection(named(trainer), 0.65, "wandb_config_trainer")
    for name, key in _CONFIG_KEYS:
        if key in config:
            return Detection(named(name), 0.65, "wandb_config_key")
    return None


def _modules(evidence: Mapping[str, Any]) -> Detection | None:
    torch = _mapping(evidence.get("pytorch"))
    if torch.get("available") is not True:
        return None
    found = _mapping(torch.get("detected_modules"))
    for name, confidence in _MODULES:
        if found.get(name) is True:
            return Detection(named(name), confidence, "pytorch_modules")
    return None


def _project(evidence: Mapping[str, Any]) -> Detection | None:
    name = _within(_word(_mapping(evidence.get("wandb")).get("project")))
    return Detection(named(name), 0.5, "wandb_project_name") if name else None


def _hints(hints: Mapping[str, Any]) -> Detection | None:
    wrapper = _first(_words(hints.get("wrapper_frameworks")), _IMPORTED_WRAPPERS)
    base = _first(_words(hints.get("base_frameworks")), _IMPORTED_BASES)
    if not wrapper and not base:
        possible = _words(hints.get("possible_frameworks"))
        stack = named(_first(possible, _WITHIN))
    else:
        stack = Stack(wrapper, base)
    return Detection(stack, 0.4, "hints_fallback") if stack.framework else None


_PROOFS: Sequence[Callable[[Mapping[str, Any]], Detection | None]] = (
    _imports,
    _environment,
    _config,
    _modules,
    _project,
)


def _detected(value: object) -> dict[str, Any]:
    """Frameworks of an import report that it says are there, by lower-case name."""
    return {
        str(name).strip().lower(): one
        for name, one in _mapping(value).items()
        if one is True or _mapping(one).get("detected") is True
    }


def _first(found: Mapping[str, Any] | Sequence[str], order: Sequence[str]) -> str:
    known = next((name for name in order if name in found), "")
    # A framework that we never heard of is still one.
    return known or (min(found) if found else "")


def _words(value: object) -> list[str]:
    given = value if isinstance(value, list | tuple) else ()
    return [word for one in given if (word := _word(one))]


def _word(value: object) -> str:
    return value.strip().lower()[:NAME_CHARS_MAX] if isinstance(value, str) else ""


def _within(text: str) -> str:
    return next((name for name in _WITHIN if name in text), "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
