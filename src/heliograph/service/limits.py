"""`limits` of the configuration: bounds that have a name."""

from msgspec import Struct


class LimitsConfig(Struct, frozen=True):
    """What one request, series or list may be.

    body_mb, decoded_mb   request body as sent, and decompressed
    labels                labels of a series; `label_value_bytes` each value
    series                series in memory at once
    pods                  pods known at once, ended ones included until retention forgets them
    list                  items of one list in an answer or a request
    in_flight_mb          request bytes being worked on; `reserved_mb` of it for the control path
    connections           open at once; on one more only `/healthz` and `/readyz` are answered
    log_mb                the durable log on disk; writers are refused beyond it
    wandb_runs            wandb runs that are known; the one heard of longest ago is forgotten
    wandb_run_kb          config, summary and metadata of one run together
    wandb_console_lines   console lines of one run that are kept as records
    """

    body_mb: int = 32
    decoded_mb: int = 128
    labels: int = 64
    label_value_bytes: int = 4096
    series: int = 300_000
    pods: int = 100_000
    list: int = 1000
    in_flight_mb: int = 256
    connections: int = 2048
    reserved_mb: int = 32
    log_mb: int = 4096
    wandb_runs: int = 10_000
    wandb_run_kb: int = 1024
    wandb_console_lines: int = 10_000
