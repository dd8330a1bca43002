"""What a usage payload costs: ours, and a plain re-statement of what spec 000's system does.

    python bench/usage.py [--rounds 2] [--payloads 100000] [--networks 2000]

Both run in this process over the same payloads, turn by turn; the best turn of each counts.
Three mixes: one job again and again; the usual jobs of many networks, in any order; and jobs each of
which is the first and the last of its network.
`--memory` posts 100,000 payloads of 2,000 networks to one mapping and says what it holds.
"""

import argparse
import random
import re
import time
import tracemalloc
from collections import Counter
from datetime import datetime

from heliograph.usage import MetricProcessor

# The re-statement: the steps of the behaviour's description, one after the other, nothing kept
# between payloads.
_PATTERN = re.compile(r"[^a-zA-Z0-9]")
_ATTRIBUTES = [
    # name, key in the payload, kind, default, in the comprehensive key, order
    ("version", "version", "string", "unknown", True, 3),
    ("action", "action", "string", "unknown", True, 2),
    ("network", "network", "string", "unknown", True, 1),
    ("success", "success", "boolean", False, False, 4),
    ("user_error", "user_error", "boolean", False, False, 5),
    ("time_lapsed", "time_lapsed", "integer", 0, False, 100),
    ("gpus", "gpu", "list", ["unknown"], False, 100),
    ("client_type", "client_type", "string", "container", False, 6),
    ("automl_triggered", "automl_triggered", "boolean", False, False, 100),
]
_CHIPS = ["GB300", "GB200", "GB100", "GH200", "GH100", "B300", "B200", "B100", "H200", "H100"]
_NEWEST_FIRST = [
    *(
        "RTX5090",
        "RTX5080",
        "RTX5070",
        "THOR",
        "GB300",
        "B300",
        "GB200",
        "B200",
        "GH200",
        "H200",
    ),
    *("H100", "L40S", "L40", "L4", "RTX4090", "RTX4080", "RTX4070", "RTXA6000", "ORIN", "A40"),
    *(
        "A16",
        "A10",
        "A2",
        "RTX3090",
        "RTX3080",
        "A100",
        "A30",
        "T4",
        "RTX2080",
        "QUADRO",
        "V100",
    ),
    *("TITAN", "P100", "P40", "GTX1080", "K80", "M60"),
]


def plain_sanitized(value, uppercase=False):
    text = _PATTERN.sub("_", str(value))
    return text.upper() if uppercase else text.lower()


def plain_extracted(raw):
    data = {}
    for name, raw_key, kind, default, _, _ in _ATTRIBUTES:
        value = raw.get(raw_key, default)
        data[name] = plain_sanitized(value) if kind == "string" else value
    return data


def plain_identifier(gpus):
    counts = Counter(plain_sanitized(gpu, uppercase=True) for gpu in gpus)
    parts = [f"{name}_{count}" for name, count in sorted(counts.items())]
    return f"{len(gpus)}_" + "_".join(parts)


def plain_legacy(metrics, data, _context):
    action = data["action"]
    keys = [
        f"total_action_{action}_{'pass' if data['success'] else 'fail'}",
        f"version_{data['version']}_action_{action}",
        f"network_{data['network']}_action_{action}",
        *(f"gpu_{plain_sanitized(gpu)}_action_{action}" for gpu in data["gpus"]),
    ]
    for key in keys:
        metrics[key] = metrics.get(key, 0) + 1


def plain_comprehensive(metrics, data, _context):
    parts = []
    has_status = False
    status = "pass" if data.get("success") else "fail"
    for name, _, kind, _, included, order in sorted(_ATTRIBUTES, key=lambda one: one[5]):
        if order >= 4 and not has_status:
            parts.append(f"status_{status}")
            has_status = True
        if included and name in data:
            value = str(data[name]).lower() if kind == "boolean" else data[name]
            parts.append(f"{name}_{value}")
    parts.append(f"gpu_{plain_identifier(data.get('gpus', ['unknown']))}")
    key = "_".join(parts)
    metrics[key] = metrics.get(key, 0) + 1


def plain_time(metrics, data, context):
    spent = data.get("time_lapsed", 0)
    if context["now"].day != context["old_now"].day:
        metrics["time_lapsed_today"] = spent
    else:
        metrics["time_lapsed_today"] = metrics.get("time_lapsed_today", 0) + spent


def plain_type(name):
    text = str(name).upper().replace(" ", "_").replace("-", "_")
    if "SPARK" in text:
        return "SPARK"
    for chip in _CHIPS:
        if chip in text:
            return chip
    parts = [part for part in text.split("_") if part]
    if "RTX" in parts and parts.index("RTX") + 1 < len(parts):
        following = parts[parts.index("RTX") + 1]
        return "RTX" + following.replace("TI", "").replace("ADA", "")
    for chip in ("THOR", "ORIN", "L40S", "L40", "L4"):
        if chip in text:
            return chip
    rest = [part for part in parts if part not in {"NVIDIA", "GEFORCE", "QUADRO", "TESLA"}]
    for part in rest:
        if any(c.isdigit() for c in part) and any(c.isalpha() for c in part):
            return part
    return rest[0] if rest else text


def plain_primary(gpus):
    if not gpus:
        return "unknown"
    types = [plain_type(gpu) for gpu in gpus]
    for chip in _NEWEST_FIRST:
        if chip in types:
            return chip
    counts = Counter(types)
    return max(counts, key=lambda one: (counts[one], one))


def plain_key(name, labels):
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"


def plain_labeled(metrics, data, _context):
    labels = {}
    for name, _, kind, _, _, _ in _ATTRIBUTES:
        if name in data and kind != "list" and name not in {"success", "time_lapsed"}:
            labels[f"tao_{name}"] = str(data[name]).lower()
    gpus = data.get("gpus", [])
    labels["tao_status"] = "pass" if data.get("success") else "fail"
    labels["tao_primary_gpu"] = plain_primary(gpus)
    labels["tao_gpu_count"] = str(len(gpus))
    spent = data.get("time_lapsed", 0)
    added = [(plain_key("tao_job_total", labels), 1)]
    if spent > 0:
        added.append((plain_key("tao_job_duration_sum", labels), spent))
        added.append((plain_key("tao_job_gpu_time_sum", labels), len(gpus) * spent))
    for kind, count in Counter(plain_type(gpu) for gpu in gpus).items():
        added.append((plain_key("tao_job_gpu_total", {"tao_gpu_type": kind}), count))
    for key, value in added:
        metrics[key] = metrics.get(key, 0) + value


def plain_process(metrics, raw):
    now = datetime.now()  # noqa: DTZ005, TID251 - as the other side does
    last = metrics.get("last_updated")
    context = {"now": now, "old_now": datetime.fromisoformat(last) if last else now}
    data = plain_extracted(raw)
    for build in (plain_legacy, plain_comprehensive, plain_time, plain_labeled):
        build(metrics, data, context)
    metrics["last_updated"] = now.isoformat()
    return metrics


# The payloads.
GPUS = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "Tesla V100-SXM2-16GB", "NVIDIA L40S"]


def payload(rng, network):
    kinds = rng.choice((1, 1, 1, 2))
    return {
        "version": f"{rng.randint(4, 5)}.{rng.randint(0, 3)}.0",
        "action": rng.choice(("train", "evaluate", "export", "inference")),
        "network": network,
        "success": rng.random() < 0.9,
        "user_error": rng.random() < 0.1,
        "time_lapsed": rng.randint(1, 86_400),
        "gpu": [gpu for gpu in rng.sample(GPUS, kinds) for _ in range(rng.choice((1, 2, 4)))],
        "client_type": rng.choice(("container", "api")),
        "automl_triggered": rng.random() < 0.2,
    }


def mixes(count, networks):
    rng = random.Random(1)
    one = payload(rng, "ResNet-50")
    # Teams run the same few jobs of a network again: with another version now and then.
    usual = [payload(rng, f"net-{n}") for n in range(networks)]
    many = [
        {
            **rng.choice(usual),
            "time_lapsed": rng.randint(0, 9999),
            "success": rng.random() < 0.9,
        }
        for _ in range(count)
    ]
    # Fewer, or there would be more keys than a processor keeps.
    fresh = [payload(rng, f"run {n}") for n in range(min(count, 10_000))]
    return {"one job": [one] * count, "many networks": many, "every job new": fresh}


def spent_s(process, payloads):
    metrics = {}
    began = time.perf_counter()
    for one in payloads:
        process(metrics, one)
    return time.perf_counter() - began, metrics


def compare(rounds, count, networks):
    for mix, payloads in mixes(count, networks).items():
        ours, plain = [], []
        for _ in range(rounds):
            # A processor and names of its own each turn, so that a turn does not profit from others.
            forget()
            took, metrics = spent_s(MetricProcessor().process, payloads)
            ours.append(took)
            took, expected = spent_s(plain_process, payloads)
            plain.append(took)
            assert metrics.keys() == expected.keys()
            same = metrics.keys() - {"last_updated"}
            assert all(metrics[key] == expected[key] for key in same)
        us = [min(times) / len(payloads) * 1e6 for times in (ours, plain)]
        print(
            f"{mix:15} {us[0]:6.2f} µs a payload   plain {us[1]:6.2f} µs   {us[1] / us[0]:.2f} times"
        )


def forget():
    from heliograph.usage import devices, processor, sanitize

    sanitize.lowered.clear()
    devices._remembered.clear()
    processor._SHARED._plans.clear()
    processor._SHARED._once.clear()


def memory(count, networks):
    rng = random.Random(2)
    tracemalloc.start()
    processor, metrics = MetricProcessor(), {}
    for n in range(count):
        processor.process(metrics, payload(rng, f"net-{rng.randrange(networks)}"))
        if n + 1 in {count // 10, count // 2, count}:
            held, peak = (value / 2**20 for value in tracemalloc.get_traced_memory())
            print(
                f"{n + 1:7} payloads: {len(metrics)} keys, {processor.keys_dropped} dropped,"
                f" {held:.1f} MiB held, {peak:.1f} MiB at most"
            )
    tracemalloc.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    if given.memory:
        memory(100_000, given.networks)
    else:
        compare(given.rounds, given.payloads, given.networks)


if __name__ == "__main__":
    main()
