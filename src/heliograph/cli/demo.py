"""`heliograph demo`: the service, and beside it a simulated cluster that speaks only HTTP to it.

The cluster is a process of its own: end it and the flow stops, as with a real one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from heliograph.cli.client import address, token
from heliograph.cli.settings import Unusable, load
from heliograph.core.errors import ConfigError
from heliograph.service.config import Config, host_and_port

LOOK_AT = """
Heliograph runs with a simulated training cluster: 2 nodes, 16 GPUs, 3 jobs.

  {url}/                     the first page: workloads, loss, throughput, what has no owner and why
  {url}/v1/workloads         the same as JSON; follow a uid to its runs, rows and checkpoints
  {url}/v1/query/range?metric=workload_DCGM_FI_DEV_GPU_UTIL&step=30s&agg=mean
                             GPU utilization by workload, as of each sample's own time
  {url}/v1/records?severity=critical
                             the fault: a GPU falls off, a rank is killed
  {url}/metrics              what the service says of itself

Data goes to {data_dir}. Stop with Ctrl-C.
"""


_ABOVE_0 = click.FloatRange(min=0, max=1e9, min_open=True)


@click.command()
@click.option("--listen", default="127.0.0.1:8989", show_default=True, metavar="HOST:PORT")
@click.option("--data-dir", metavar="DIR", help="Where data is kept [a new temporary folder].")
@click.option(
    "--against", metavar="URL", help="Only simulate, against a service that runs there."
)
@click.option("--seconds", type=_ABOVE_0, help="Stop simulating after this long.")
@click.option(
    "--speed", default=4.0, show_default=True, type=_ABOVE_0, help="How much faster than life."
)
@click.option("--seed", default=1, show_default=True, help="The same seed, the same cluster.")
def demo(
    listen: str,
    data_dir: str | None,
    against: str | None,
    seconds: float | None,
    speed: float,
    seed: int,
) -> None:
    """Run the service with a simulated training cluster."""
    if against is not None:
        _simulate(against, seconds=seconds, speed=speed, seed=seed)
        return
    with tempfile.TemporaryDirectory(prefix="heliograph-demo-") as temporary:
        config = load(None, {"listen": listen, "data_dir": data_dir or temporary})
        arguments = ["--speed", str(speed), "--seed", str(seed)]
        if seconds is not None:
            arguments += ["--seconds", str(seconds)]
        status = _serve(config, arguments)
    raise SystemExit(status)


def _serve(config: Config, arguments: list[str]) -> int:
    """The service, and the cluster once it listens: never towards a service that is not ours."""
    from heliograph.service import run

    host, port = host_and_port(config.listen)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    command = [sys.executable, "-m", "heliograph.cli", "demo", "--against", url, *arguments]
    clusters: list[subprocess.Popen[bytes]] = []

    def listening() -> None:
        click.echo(LOOK_AT.format(url=url, data_dir=Path(config.data_dir).absolute()))
        clusters.append(subprocess.Popen(command))  # noqa: S603 - ourselves

    try:
        return run.serve(config, log_level="warning", listening=listening)
    except ConfigError as error:
        raise Unusable(str(error)) from error
    finally:
        for cluster in clusters:
            cluster.terminate()
            cluster.wait()


def _simulate(url: str, *, seconds: float | None, speed: float, seed: int) -> None:
    from heliograph.core.clock import SystemClock
    from heliograph.simulator import run

    try:
        delivered = run.run(
            url,
            clock=SystemClock(),
            seconds=seconds,
            seed=seed,
            speed=speed,
            token=token(),
            report=click.echo,
        )
    except ValueError as error:
        raise Unusable(str(error)) from error
    if not delivered:
        raise click.ClickException(f"{address(url)}: nothing was delivered")
