"""How training goes: loss, gradient norm and speed of an iteration, as pure functions."""

from typing import NamedTuple

from heliograph.simulator.cluster import SPIKE_ITERATIONS, Shape, noise

_WARMUP_ITERATIONS = 50
_LEARNING_RATE = 3e-4


class Iteration(NamedTuple):
    """What a framework knows of an iteration; *tflops* and *tokens_per_s* are per GPU."""

    loss: float
    grad_norm: float
    learning_rate: float
    elapsed_ms: float
    tflops: float
    tokens_per_s: float


def of(shape: Shape, iteration: int, *, seed: int, generation: int) -> Iteration:
    """Iteration *iteration* of *shape*, in the job's life number *generation*."""
    about = (seed, shape.name, iteration)
    start, floor = shape.loss
    loss = floor + (start - floor) * max(1, iteration) ** -0.32
    loss *= 1 + 0.012 * noise("loss", *about) + 0.001 * noise("again", generation, *about)
    grad_norm = 0.3 + 6 * max(1, iteration) ** -0.45 * (1 + 0.2 * noise("grad", *about))
    since_spike = iteration - shape.spike_at
    if shape.spike_at and 0 <= since_spike < SPIKE_ITERATIONS:
        left = 1 - since_spike / SPIKE_ITERATIONS
        loss *= 1 + 0.9 * left
        grad_norm *= 1 + 25 * left
    # The first iteration of a life compiles and tunes.
    slow = 1.0 + 0.015 * noise("speed", generation, *about)
    return Iteration(
        loss=loss,
        grad_norm=grad_norm,
        learning_rate=_LEARNING_RATE * min(1.0, iteration / _WARMUP_ITERATIONS),
        elapsed_ms=shape.step_s * 1000 * slow,
        tflops=420 / slow,
        tokens_per_s=9800 / slow,
    )
