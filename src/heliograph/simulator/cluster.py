"""The model of the simulated cluster: two nodes of eight GPUs, three jobs, and their bad luck.

    gpu-node-01  NVIDIA   llm-7b        Megatron-LM, 2 pods × 4 GPUs, a PyTorchJob with a parent
    gpu-node-02  AMD      moe-rocm      Primus, 2 pods × 2 GPUs
                          titan-8b      torchtitan, 1 pod × 4 GPUs

A job goes  queued → warming → running ⇄ saving, and by misfortune → hung → dying → queued. It
resumes at its last checkpoint, in pods of new uids; `moe-rocm` comes back with its devices
swapped between its pods. `Cluster.advance` tells what happened since the last call.
"""

import hashlib
import uuid
import zlib
from typing import NamedTuple

SECOND_NS = 1_000_000_000
NAMESPACE = "train"
NODES = ("gpu-node-01", "gpu-node-02")
AMD_NODE = NODES[1]
GPUS_PER_NODE = 8
LINKS = ("mlx5_0", "mlx5_1")

WARMING_S = 8.0
WATCHDOG_S = 15.0
DYING_S = 2.0
REQUEUED_S = 40.0
# Iterations during which a loss spike dies away.
SPIKE_ITERATIONS = 12


class Shape(NamedTuple):
    """What a job is, for as long as it is submitted.

    pods            (name suffix, indices of its GPUs), a pod
    step_s          one iteration; divided by the cluster's speed
    spike_at        iteration at which the loss jumps; 0 for never
    parent          name of the workload that owns this one, or ""
    """

    name: str
    framework: str
    kind: str
    node: str
    pods: tuple[tuple[str, tuple[int, ...]], ...]
    step_s: float
    target: int
    batch: int
    loss: tuple[float, float]
    checkpoint_every: int
    checkpoint_s: float
    spike_at: int = 0
    parent: str = ""


SHAPES = (
    Shape(
        name="llm-7b",
        framework="megatron-lm",
        kind="PyTorchJob",
        node=NODES[0],
        pods=(("master-0", (0, 1, 2, 3)), ("worker-0", (4, 5, 6, 7))),
        step_s=2.7,
        target=36_000,
        batch=256,
        loss=(11.2, 1.9),
        checkpoint_every=40,
        checkpoint_s=6.0,
        spike_at=70,
        parent="pretrain-2026",
    ),
    Shape(
        name="moe-rocm",
        framework="primus",
        kind="PyTorchJob",
        node=AMD_NODE,
        pods=(("worker-0", (0, 1)), ("worker-1", (2, 3))),
        step_s=3.4,
        target=5_100,
        batch=128,
        loss=(10.6, 1.6),
        checkpoint_every=30,
        checkpoint_s=4.0,
    ),
    Shape(
        name="titan-8b",
        framework="torchtitan",
        kind="JobSet",
        node=AMD_NODE,
        pods=(("0-0", (4, 5, 6, 7)),),
        step_s=1.9,
        target=20_000,
        batch=64,
        loss=(12.0, 2.2),
        checkpoint_every=100,
        checkpoint_s=9.0,
    ),
)

# (kind, job, first at this many seconds, then every so many); kinds are `gpu_lost`, `preempted`.
MISFORTUNES = (("preempted", "moe-rocm", 300.0, 900.0), ("gpu_lost", "llm-7b", 470.0, 1200.0))
LOST_GPU = 5


class PodRun(NamedTuple):
    """One incarnation of a pod of a job; *first_rank* is the rank of its first GPU."""

    uid: str
    name: str
    node: str
    gpus: tuple[int, ...]
    first_rank: int
    container_id: str
    start_ns: int


class Happening(NamedTuple):
    """One thing that happened to *job*.

    kind    `started`, `begun`, `resumed`, `iterated`, `saving`, `saved`, `gpu_lost`,
            `preempted`, `watchdog`, `ended`
    pods    the job's pods at that time
    why     of `ended`: `gpu_lost`, `preempted` or `completed`
    """

    kind: str
    job: Shape
    at_ns: int
    iteration: int
    generation: int
    pods: tuple[PodRun, ...]
    why: str = ""


def noise(*about: object) -> float:
    """A number in [-1, 1) that is always the same for the same *about*."""
    return zlib.crc32(repr(about).encode()) / 2**31 - 1


def uid(*about: object) -> str:
    """A UUID that is always the same for the same *about*."""
    return str(uuid.UUID(bytes=hashlib.sha256(repr(about).encode()).digest()[:16]))


class Job:
    """The present state of a job; `Cluster` alone changes it.

    due_ns      when its phase does its next thing
    steps       iterations done in all its lives, repeated ones too; never falls
    """

    def __init__(self, shape: Shape, due_ns: int) -> None:
        self.shape = shape
        self.phase = "queued"
        self.due_ns = due_ns
        self.generation = 0
        self.iteration = 0
        self.saved = 0
        self.steps = 0
        self.why = ""
        self.pods: tuple[PodRun, ...] = ()

    def place(self, seed: int, at_ns: int) -> None:
        """New pods, of new uids; a preempted job finds its devices dealt the other way round."""
        self.generation += 1
        shares = [gpus for _, gpus in self.shape.pods]
        if self.why == "preempted":
            shares = [pod.gpus for pod in reversed(self.pods)]
        pods = []
        first_rank = 0
        for (suffix, _), gpus in zip(self.shape.pods, shares, strict=True):
            name = f"{self.shape.name}-{suffix}"
            known_by = (seed, name, self.generation)
            pods.append(
                PodRun(
                    uid=uid("pod", *known_by),
                    name=name,
                    node=self.shape.node,
                    gpus=gpus,
                    first_rank=first_rank,
                    container_id=hashlib.sha256(repr(known_by).encode()).hexdigest(),
                    start_ns=at_ns,
                )
            )
            first_rank += len(gpus)
        self.pods = tuple(pods)


class Cluster:
    """The cluster from *start_ns* on; *speed* makes its steps and its story that much quicker.

    jobs    by name
    lost    (node, index) of the GPUs that have fallen off and are not back yet
    """

    def __init__(self, *, seed: int, start_ns: int, speed: float = 1.0) -> None:
        self.seed = seed
        self.speed = speed
        self.now_ns = start_ns
        self.jobs = {shape.name: Job(shape, start_ns) for shape in SHAPES}
        self.lost: set[tuple[str, int]] = set()
        self._misfortunes = [
            (start_ns + self._span_ns(first_s), kind, name, self._span_ns(every_s))
            for kind, name, first_s, every_s in MISFORTUNES
        ]

    def _span_ns(self, seconds: float) -> int:
        return max(1_000_000, round(seconds * SECOND_NS / self.speed))

    def advance(self, until_ns: int) -> list[Happening]:
        """What happens up to and at *until_ns*, in time order."""
        happened: list[Happening] = []
        while True:
            job = min(self.jobs.values(), key=lambda job: job.due_ns)
            misfortune = min(self._misfortunes)
            at_ns = min(job.due_ns, misfortune[0])
            if at_ns > until_ns:
                break
            self.now_ns = at_ns
            if misfortune[0] <= job.due_ns:
                happened += self._strike(misfortune)
            else:
                happened += self._step(job)
        self.now_ns = max(self.now_ns, until_ns)
        return happened

    def holder(self, node: str, gpu: int) -> Job | None:
        """The job whose pod holds *gpu* of *node* now, if there is one."""
        for job in self.jobs.values():
            if job.phase != "queued" and any(
                pod.node == node and gpu in pod.gpus for pod in job.pods
            ):
                return job
        return None

    def _strike(self, misfortune: tuple[int, str, str, int]) -> list[Happening]:
        at_ns, kind, name, every_ns = misfortune
        self._misfortunes.remove(misfortune)
        job = self.jobs[name]
        if job.phase not in {"running", "saving"}:
            # It is down already: the next misfortune waits until there is something to hit.
            later_ns = at_ns + self._span_ns(REQUEUED_S)
            self._misfortunes.append((later_ns, kind, name, every_ns))
            return []
        self._misfortunes.append((at_ns + every_ns, kind, name, every_ns))
        job.why = kind
        if kind == "gpu_lost":
            self.lost.add((job.shape.node, LOST_GPU))
            job.phase, job.due_ns = "hung", at_ns + self._span_ns(WATCHDOG_S)
        else:
            job.phase, job.due_ns = "dying", at_ns + self._span_ns(DYING_S)
        return [self._told(kind, job)]

    def _step(self, job: Job) -> list[Happening]:
        """Let *job* do what is due, and say when the next thing is."""
        kind, phase, wait_s = self._next(job)
        told = self._told(kind, job)
        job.phase = phase
        job.due_ns += self._span_ns(wait_s)
        return [told]

    def _next(self, job: Job) -> tuple[str, str, float]:
        """What happens to *job* now, the phase after it, and the seconds until it is over."""
        shape = job.shape
        if job.phase == "queued":
            self.lost = {gpu for gpu in self.lost if gpu[0] != shape.node}
            job.place(self.seed, self.now_ns)
            return "started", "warming", WARMING_S
        if job.phase == "warming":
            job.iteration = job.saved
            return "resumed" if job.saved else "begun", "running", shape.step_s
        if job.phase == "saving":
            job.saved = job.iteration
            if job.iteration >= shape.target:
                job.why, job.saved = "completed", 0
                return "saved", "dying", DYING_S
            return "saved", "running", shape.step_s
        if job.phase == "hung":
            return "watchdog", "dying", DYING_S
        if job.phase == "dying":
            return "ended", "queued", REQUEUED_S
        return self._iterate(job)

    def _iterate(self, job: Job) -> tuple[str, str, float]:
        shape = job.shape
        if job.iteration > job.saved and job.iteration % shape.checkpoint_every == 0:
            return "saving", "saving", shape.checkpoint_s
        job.iteration += 1
        job.steps += 1
        # The next thing of a last iteration, or of a multiple, is its checkpoint, and at once.
        saves = job.iteration % shape.checkpoint_every == 0
        return "iterated", "running", 0.05 if saves else shape.step_s

    def _told(self, kind: str, job: Job) -> Happening:
        why = job.why if kind == "ended" else ""
        return Happening(
            kind, job.shape, self.now_ns, job.iteration, job.generation, job.pods, why
        )
