"""How fast remote write requests become columns: samples per CPU second, by decoder and case.

    python bench/remote_write_decode.py [--series 2000] [--seconds 1.0]

steady   every series was met before, one sample each: what a scrape looks like
zeros    the same with every second value 0.0, left out on the wire as Go's encoder does
cold     every series is new: parse, check, intern
many     100 samples a series, as a backfill sends them
upb      protobuf's C decoder, messages only: no series ids, no columns
+columns the same, and from its messages what ours returns: ids by labels, three columns
"""

import argparse
import functools
import importlib.util
import time
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from heliograph.core import labels as label
from heliograph.core.series import SeriesTable
from heliograph.kernels import remote_write as kernel
from heliograph.receive import remote_write
from heliograph.wire import remote_write as wire
from heliograph.wire import snappy

NOW_MS = 1_795_308_197_229


def labels_of(i, run=0):
    return label.of(
        {
            "__name__": f"DCGM_FI_DEV_GPU_TEMP_{i % 40}",
            "Hostname": f"gpu-node-{i // 320:04}",
            "UUID": f"GPU-604ac76c-d9cf-fef3-62e9-d9204{i // 40:07x}",
            "cluster": "c1",
            "container": "pytorch",
            "device": f"nvidia{i // 40 % 8}",
            "gpu": str(i // 40 % 8),
            "instance": f"10.0.{i // 320 // 256}.{i // 320 % 256}:9400",
            "job": "dcgm",
            "modelName": "NVIDIA H100 80GB HBM3",
            "namespace": f"train-{run}",
            "node": f"gpu-node-{i // 320:04}",
            "pod": f"llama-worker-{i // 320}",
        }
    )


def requests(series, *, samples=1, zeros=False, run=0):
    rng = np.random.default_rng(7)
    out = []
    for begin in range(0, series * 5, series):
        at_ms = NOW_MS + begin + 15_000 * np.arange(samples, dtype=np.int64)
        rows = [
            (labels_of(i, run), at_ms, rng.normal(size=samples))
            for i in range(begin, begin + series)
        ]
        raw = wire.encode(rows)
        if zeros:
            parts = [wire.encode([row]) for row in rows]
            raw = b"".join(without_value(p) if i % 2 else p for i, p in enumerate(parts))
        out.append(raw)
    return out


def without_value(part):
    """The TimeSeries of *part* again, its one sample as Go's encoder writes 0.0."""
    message = upb().FromString(part)
    message.timeseries[0].samples[0].value = 0.0
    return message.SerializeToString()


@functools.cache
def upb():
    """The class of WriteRequest, from a descriptor made here."""
    f = descriptor_pb2.FileDescriptorProto(name="rw.proto", package="rw", syntax="proto3")
    kinds = {"double": 1, "int64": 3, "string": 9}
    for name, fields in {
        "Label": [("name", 1, "string", 1), ("value", 2, "string", 1)],
        "Sample": [("value", 1, "double", 1), ("timestamp", 2, "int64", 1)],
        "TimeSeries": [("labels", 1, ".rw.Label", 3), ("samples", 2, ".rw.Sample", 3)],
        "WriteRequest": [("timeseries", 1, ".rw.TimeSeries", 3)],
    }.items():
        message = f.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            made = message.field.add(name=field, number=number, label=repeated)
            made.type = kinds.get(kind, 11)
            if kind not in kinds:
                made.type_name = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(f)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rw.WriteRequest"))


def columns_by_upb(raw, ids):
    series, at_ms, value = [], [], []
    for one in upb().FromString(raw).timeseries:
        key = tuple((pair.name, pair.value) for pair in one.labels)
        found = ids.setdefault(key, len(ids))
        for sample in one.samples:
            series.append(found)
            at_ms.append(sample.timestamp)
            value.append(sample.value)
    return np.array(series, np.uint32), np.array(at_ms) * 10**6, np.array(value)


def pure_kernel():
    path = Path(kernel.__file__).with_name("remote_write.py")
    spec = importlib.util.spec_from_file_location("remote_write_pure", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rate(decode, bodies, samples, seconds):
    """Best of the rounds, in million samples per CPU second."""
    best = 0.0
    for body in bodies:
        decode(body)
    until = time.process_time() + seconds
    while time.process_time() < until:
        start = time.process_time()
        for body in bodies:
            decode(body)
        best = max(best, samples * len(bodies) / (time.process_time() - start) / 1e6)
    return best


def measured(module, case, bodies, samples, seconds):
    remote_write.kernel = module
    limits = remote_write.Limits()
    decoder = remote_write.Decoder(SeriesTable(10**7), limits)

    def decode(body):
        return decoder.decode(body, arrival_ns=NOW_MS * 10**6)

    def decode_cold(body):
        fresh = remote_write.Decoder(SeriesTable(10**7), limits)
        return fresh.decode(body, arrival_ns=NOW_MS * 10**6)

    return rate(decode_cold if case == "cold" else decode, bodies, samples, seconds)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--series", type=int, default=2000)
    options.add_argument("--seconds", type=float, default=1.0)
    args = options.parse_args()
    n = args.series
    cases = {
        "steady": (requests(n), n),
        "zeros": (requests(n, zeros=True), n),
        "cold": (requests(n), n),
        "many": (requests(n // 100, samples=100), n // 100 * 100),
    }
    print(f"{n} samples a request, {len(cases['steady'][0][0]) / n:.0f} bytes a series")
    modules = {"python": pure_kernel()}
    if kernel.COMPILED:
        modules["compiled"] = kernel
    message = upb()
    for case, (bodies, samples) in cases.items():
        against = rate(message.FromString, bodies, samples, args.seconds)
        useful = rate(functools.partial(columns_by_upb, ids={}), bodies, samples, args.seconds)
        line = f"{case:8} upb {against:6.2f} M/CPU-s   +columns {useful:5.2f}"
        for name, module in modules.items():
            ours = measured(module, case, bodies, samples, args.seconds)
            line += f"   {name} {ours:6.2f} (x{ours / against:.1f}, x{ours / useful:.1f})"
        print(line)
    bodies = [snappy.compress(raw) for raw in cases["steady"][0]]
    most = remote_write.Limits().decoded_bytes_max
    undo = rate(lambda b: snappy.decompress(b, decoded_bytes_max=most), bodies, n, args.seconds)
    rows = [(labels_of(i), np.array([NOW_MS]), np.array([1.5])) for i in range(n)]
    fields = [(wire.label_fields(labels), at_ms, value) for labels, at_ms, value in rows]
    whole = rate(wire.encode, [rows], n, args.seconds)
    kept = rate(wire.encode_fields, [fields], n, args.seconds)
    print(f"snappy   {undo:.2f}   encode {whole:.2f}   encode_fields {kept:.2f} M/CPU-s")


if __name__ == "__main__":
    main()
