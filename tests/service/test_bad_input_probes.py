"""Bodies of real senders, and probes that real servers were asked, over real HTTP."""

import json
import math
import struct

import pytest

from tests.service.running import assert_problem

STALE = "7ff0000000000002"
# Those of the 42 that are not 204.
PROBES = {
    **dict.fromkeys(
        ("no_metric_name", "no_labels", "empty_metric_name", "duplicate_label_name",
         "empty_label_name", "invalid_utf8_label_value", "mixed_valid_and_nameless"),
        (400, "partly_refused"),
    ),
    **dict.fromkeys(
        ("not_snappy", "empty_body", "framed_snappy", "snappy_bomb_claimed_4GiB"),
        (400, "corrupt_snappy"),
    ),
    "snappy_ok_bad_proto": (400, "malformed_protobuf"),
    **dict.fromkeys(
        ("content_encoding_gzip", "content_encoding_zstd", "content_type_json",
         "content_type_v2_proto_with_v1_body"),
        (415, "unsupported_content"),
    ),
    "get_method": (405, "method_not_allowed"),
}  # fmt: skip


def test_probes_of_real_servers_get_our_answer(shared_data, site):
    folder = shared_data / "rw1_probes"
    cases = json.loads((folder / "index.json").read_text())["cases"]
    assert len(cases) == 42
    assert PROBES.keys() <= {case["name"] for case in cases}
    for case in cases:
        status, code = PROBES.get(case["name"], (204, None))
        body = (folder / case["body_file"]).read_bytes()
        if case["name"] == "mixed_valid_and_nameless":
            before = len(site.label_sets())

        answer = site.ask(case["method"], "/v1/prometheus", body, case["headers"])

        if status == 204:
            assert (answer.status, answer.body) == (204, b""), case["name"]
        else:
            assert_problem(answer, status, code=code)
        if case["name"] == "mixed_valid_and_nameless":
            told = answer.json()
            assert (told["stored_samples"], told["refused_samples"]) == (1, 1)
            assert len(site.label_sets()) == before + 1
    site.assert_sound()


def test_bodies_of_real_senders_are_read_back_bit_by_bit(shared_data, site):
    folder = shared_data / "recorded" / "remote_write"
    cases = json.loads((folder / "index.json").read_text())["cases"]
    assert len(cases) == 13
    sent = {}
    for case in cases:
        body = (folder / case["file"]).read_bytes()
        headers = {
            k: v for k, v in case["headers"].items() if k not in {"Host", "Content-Length"}
        }

        # Twice, as a sender does that did not get the first answer.
        for _ in range(2):
            assert site.ask("POST", "/v1/prometheus", body, headers).status == 204

        for one in case["expect"]["timeseries"]:
            points = sent.setdefault(tuple(sorted(one["labels"].items())), {})
            for sample in one["samples"]:
                points[sample["timestamp_ms"]] = sample["value_hex_le_double"]
    metrics = {dict(labels)["__name__"] for labels in sent}
    read = {}
    for metric in metrics:
        for labels, points in site.points(metric).items():
            read[labels] = {ms: bits_of(value) for ms, value in points}
    assert read == {
        labels: {ms: shown(bits) for ms, bits in sorted(points.items())}
        for labels, points in sent.items()
        if points
    }
    assert any(bits == STALE for points in sent.values() for bits in points.values())
    site.assert_sound()


def bits_of(value):
    """What an answer shows, with numbers as the bits that they are."""
    return value if value is None or isinstance(value, str) else struct.pack(">d", value).hex()


def shown(bits):
    """How the double of *bits* is to be shown."""
    value = struct.unpack(">d", bytes.fromhex(bits))[0]
    if bits == STALE:
        return None
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else bits


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x7FF0_0000_0000_0002, None),
        (0x7FF8_0000_0000_0000, "NaN"),
        (0x7FF8_0000_0000_0001, "NaN"),
        (0xFFF8_0000_0000_0000, "NaN"),
        (0x7FF0_0000_0000_0000, "+Inf"),
        (0xFFF0_0000_0000_0000, "-Inf"),
        (0x8000_0000_0000_0000, -0.0),
        (0x0000_0000_0000_0001, 5e-324),
        (0x3FB9_9999_9999_999A, 0.1),
        (0xC000_0000_0000_0000, -2.0),
    ],
)
def test_a_value_is_shown_as_it_is(shared_site, bits, expected):
    name = f"shown_{bits:x}"
    value = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    ms = shared_site.site.core.clock.now_ns() // 10**6

    assert shared_site.write([({"__name__": name}, [(ms, value)])]).status == 204

    [points] = shared_site.points(name).values()
    assert points == [[ms, expected]]
    assert math.copysign(1, points[0][1]) == -1 if expected == 0 else True
