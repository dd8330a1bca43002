"""A Prometheus-compatible server as the sample store: remote write out, PromQL over HTTP in.

The same for Prometheus, VictoriaMetrics and Mimir. `sender` makes one attempt and says what came
of it; when to try again is the caller's. `queries` reads.
"""
