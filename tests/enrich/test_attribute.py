"""Whose a series is: the order of evidence, the exporters' spellings, and time."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.core.placement import PlacedPod, Placements
from heliograph.enrich.attribute import attribute, cuts, span_at
from heliograph.enrich.view import view_labels
from heliograph.workloads import placed
from heliograph.workloads.change import EMPTY, updated
from heliograph.workloads.directory import Directory, Owner


def gpu(number, **more):
    return Device("gpu", str(number), **more)


def hold(pod_uid, device, start_ns=0, end_ns=None, *, node="n1"):
    return Hold(pod_uid, node, device, start_ns, end_ns)


def pod(uid, *, name=None, namespace="ns", node="n1", workload="w", start_ns=0, end_ns=None):
    return Pod(uid, name or f"name-{uid}", namespace, node, workload, start_ns, end_ns)


def directory(pods, holds=()):
    return Directory([Workload("w", "llm", "Job", "ns")], pods, holds)


def answer(directory_, at_ns=10, **labels):
    """(pod uid, by) or (None, reason) at *at_ns*."""
    span = span_at(attribute(label.of(labels), directory_), at_ns)
    return (span.owner.pod_uid, span.by) if span.owner else (None, span.reason)


SITE = directory(
    [pod("p1"), pod("p2"), pod("p3"), pod("p4", node="amd-1"), pod("idle", workload=None), pod("p5")],
    [
        hold("p1", gpu(0, uuid="GPU-aaaa")),
        hold("p2", gpu(1, uuid="GPU-bbbb")),
        hold("p3", Device("rdma", "mlx5_0")),
        hold("p5", Device("ib", "mlx5_1")),
        hold("p3", Device("asic", "npu0")),
        hold("p4", gpu(0, serial="0xABC", partition="0"), node="amd-1"),
        hold("p5", gpu(1, serial="0xABC", partition="1"), node="amd-1"),
        hold("p5", gpu(2), node="amd-1"),
        hold("idle", gpu(7)),
        hold("p1", gpu(6, uuid="GPU-old"), 0, 5),
        hold("p2", gpu(5)),
        hold("p2", gpu(4, uuid="GPU-mig", partition="1")),
        hold("p3", gpu(4, uuid="GPU-mig", partition="2")),
        hold("p5", gpu(3, uuid="MIG-1234", partition="7")),
    ],
)  # fmt: skip

DIALECTS = [
    # case                                          labels                                                                                     pod     by or reason
    ("DCGM",                                        {"Hostname": "n1", "gpu": "0", "UUID": "GPU-aaaa", "device": "nvidia0"},                    "p1",   "device"),
    ("DCGM, renamed host label",                    {"hostname": "n1", "gpu": "0", "UUID": "GPU-aaaa", "device": "nvidia0"},                    "p1",   "device"),
    ("DCGM, old namespace",                         {"Hostname": "n1", "gpu": "0", "uuid": "GPU-aaaa"},                                         "p1",   "device"),
    ("DCGM, NVLink",                                {"hostname": "n1", "gpu": "0", "gpu_uuid": "GPU-aaaa", "nvlink": "3"},                      "p1",   "device"),
    ("a UUID in other letters",                     {"Hostname": "n1", "UUID": "gpu-AAAA"},                                                     "p1",   "device"),
    ("a UUID needs no node",                        {"UUID": "GPU-aaaa"},                                                                       "p1",   "device"),
    ("nor a known one",                             {"UUID": "GPU-aaaa", "Hostname": "dcgm-exporter-x7k"},                                      "p1",   "device"),
    ("but a known node must agree",                 {"UUID": "GPU-aaaa", "Hostname": "amd-1"},                                                  None,   "unknown_device"),
    ("a UUID decides over the index",               {"Hostname": "n1", "gpu": "1", "UUID": "GPU-aaaa"},                                         "p1",   "device"),
    ("an index of another card does not match",     {"Hostname": "n1", "gpu": "0", "UUID": "GPU-new"},                                          None,   "unknown_device"),
    ("an index of an unnamed card does",            {"Hostname": "n1", "gpu": "5", "UUID": "GPU-new"},                                          "p2",   "device"),
    ("an index without a UUID",                     {"Hostname": "n1", "gpu": "1"},                                                             "p2",   "device"),
    ("an index on no known node",                   {"Hostname": "n9", "gpu": "1"},                                                             None,   "unknown_node"),
    ("an index without a node",                     {"gpu": "1"},                                                                               None,   "unknown_node"),
    ("an index that nobody ever held",              {"Hostname": "n1", "gpu": "9"},                                                             None,   "unknown_device"),
    ("a card held before",                          {"Hostname": "n1", "gpu": "6", "UUID": "GPU-old"},                                          None,   "not_held"),
    ("DCGM's device is no link",                    {"Hostname": "n1", "device": "nvidia0"},                                                    None,   "unknown_device"),
    ("MIG: the instance of a card",                 {"Hostname": "n1", "gpu": "4", "UUID": "GPU-mig", "GPU_I_ID": "2"},                         "p3",   "device"),
    ("MIG: an instance that nobody has",            {"Hostname": "n1", "gpu": "4", "UUID": "GPU-mig", "GPU_I_ID": "3"},                         None,   "unknown_device"),
    ("MIG: the whole card is shared",               {"Hostname": "n1", "gpu": "4", "UUID": "GPU-mig"},                                          None,   "shared_device"),
    ("MIG: placed under the instance's own uuid",   {"Hostname": "n1", "gpu": "3", "UUID": "GPU-x", "GPU_I_ID": "7"},                           "p5",   "device"),
    ("AMD",                                         {"hostname": "amd-1", "gpu_id": "0", "serial_number": "0xABC", "gpu_partition_id": "0"},    "p4",   "device"),
    ("AMD, the other partition",                    {"hostname": "amd-1", "gpu_id": "1", "serial_number": "0xabc", "gpu_partition_id": "1"},    "p5",   "device"),
    ("AMD, an index alone",                         {"hostname": "amd-1", "gpu_id": "2", "serial_number": "0xDEF", "gpu_partition_id": "0"},    "p5",   "device"),
    ("AMD, the serial of another card",             {"hostname": "amd-1", "gpu_id": "0", "serial_number": "0xDEF", "gpu_partition_id": "0"},    None,   "unknown_device"),
    ("a serial without its node",                   {"serial_number": "0xABC", "gpu_partition_id": "0"},                                        None,   "unknown_node"),
    ("Lens' own node label",                        {"primus_lens_node_name": "n1", "gpu_id": "0"},                                             "p1",   "device"),
    ("node label",                                  {"node": "n1", "gpu": "0"},                                                                 "p1",   "device"),
    ("kubernetes_node",                             {"kubernetes_node": "n1", "gpu": "0"},                                                      "p1",   "device"),
    ("the host of instance",                        {"instance": "n1:9400", "gpu": "0"},                                                        "p1",   "device"),
    ("the host of instance, with a domain",         {"instance": "n1.example.org:9400", "gpu": "0"},                                            "p1",   "device"),
    ("the first known node counts",                 {"Hostname": "exporter-pod", "instance": "10.1.2.3:9400", "kubernetes_node": "n1", "gpu": "0"}, "p1", "device"),
    ("InfiniBand",                                  {"instance": "n1:9100", "device": "mlx5_0", "port": "1"},                                   "p3",   "device"),
    ("InfiniBand, placed as ib",                    {"instance": "n1:9100", "device": "mlx5_1"},                                                "p5",   "device"),
    ("InfiniBand beside the exporter's pod",        {"node": "n1", "device": "mlx5_0", "pod": "name-p1", "namespace": "ns"},                    "p3",   "device"),
    ("another accelerator",                         {"node": "n1", "asic": "npu0"},                                                             "p3",   "device"),
    ("a device of a pod without a workload",        {"node": "n1", "gpu": "7"},                                                                 None,   "no_workload"),
    ("pod_uid",                                     {"pod_uid": "p1"},                                                                          "p1",   "pod_uid"),
    ("uid",                                         {"uid": "p1", "pod": "name-p2", "namespace": "ns"},                                         "p1",   "pod_uid"),
    ("pod_uuid",                                    {"pod_uuid": "p1"},                                                                         "p1",   "pod_uid"),
    ("an unknown uid does not fall to the name",    {"pod_uid": "p9", "pod": "name-p1", "namespace": "ns"},                                     None,   "unknown_pod"),
    ("the device decides over the uid",             {"node": "n1", "gpu": "0", "pod_uid": "p2"},                                                "p1",   "device"),
    ("an unknown device falls to the uid",          {"node": "n1", "gpu": "9", "pod_uid": "p2"},                                                "p2",   "pod_uid"),
    ("a card not held falls to the name",           {"node": "n1", "gpu": "6", "pod": "name-p2", "namespace": "ns"},                            "p2",   "name"),
    ("a shared card falls to nothing",              {"node": "n1", "gpu": "4", "pod_uid": "p2"},                                                None,   "shared_device"),
    ("pod and namespace",                           {"pod": "name-p1", "namespace": "ns"},                                                      "p1",   "name"),
    ("pod_name and pod_namespace",                  {"pod_name": "name-p1", "pod_namespace": "ns"},                                             "p1",   "name"),
    ("another namespace",                           {"pod": "name-p1", "namespace": "other"},                                                   None,   "unknown_pod"),
    ("no namespace, one of the name",               {"pod": "name-p1"},                                                                         "p1",   "name"),
    ("exported_pod over the exporter's own",        {"exported_pod": "name-p1", "exported_namespace": "ns", "pod": "name-p2", "namespace": "ns"}, "p1", "name"),
    ("exported_pod not in the exporter's namespace", {"exported_pod": "name-p1", "pod": "dcgm-x", "namespace": "monitoring"},                   "p1",   "name"),
    ("an empty label is none",                      {"pod_uid": "", "gpu": "", "pod": "name-p1", "namespace": "ns"},                            "p1",   "name"),
    ("a pod without a workload",                    {"pod": "name-idle", "namespace": "ns"},                                                    None,   "no_workload"),
    ("an unknown name",                             {"pod": "nobody"},                                                                          None,   "unknown_pod"),
    ("nothing",                                     {"job": "node"},                                                                            None,   "no_identity"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "found", "how"), [pytest.param(*row, id=case) for case, *row in DIALECTS]
)
def test_dialects(labels, found, how):
    assert answer(SITE, **labels) == (found, how)


def test_a_device_changes_hands_and_late_samples_go_to_whom_had_it_then():
    site = directory(
        [pod("p1"), pod("p2")],
        [
            hold("p1", gpu(0), 0, 100),
            hold("p2", gpu(1), 0, 100),
            hold("p1", gpu(1), 100),
            hold("p2", gpu(0), 100),
        ],
    )
    spans = attribute(label.of({"Hostname": "n1", "gpu": "0"}), site)

    assert [(s.start_ns, s.end_ns, s.owner and s.owner.pod_uid) for s in spans] == [
        (AT_NS_MIN, 0, None),
        (0, 100, "p1"),
        (100, AT_NS_MAX, "p2"),
    ]
    owners = [span_at(spans, at).owner for at in (-1, 0, 99, 100, 10**18)]
    assert [one and one.pod_uid for one in owners] == [None, "p1", "p1", "p2", "p2"]
    assert cuts(spans, 0, 200) == (100,)
    assert cuts(spans, -5, 101) == (0, 100)
    assert cuts(spans, 100, 200) == ()


def test_a_card_under_two_claims_is_nobodys_while_both_last():
    site = directory(
        [pod("p1"), pod("p2")],
        [hold("p1", gpu(0, uuid="GPU-a"), 0, 60), hold("p2", gpu(0), 40)],
    )
    labels = {"Hostname": "n1", "gpu": "0", "UUID": "GPU-a", "pod_uid": "p1"}

    assert answer(site, 39, **labels) == ("p1", "device")
    assert answer(site, 40, **labels) == (None, "shared_device")
    assert answer(site, 60, **labels) == ("p2", "device")


def test_one_pod_that_holds_a_link_twice_shares_it_with_nobody():
    site = directory([pod("p1")], [hold("p1", Device(t, "mlx5_0")) for t in ("ib", "rdma")])

    assert answer(site, node="n1", device="mlx5_0") == ("p1", "device")


def test_a_uid_decides_at_any_time_and_a_name_while_the_pod_runs():
    site = directory([pod("p1", start_ns=50, end_ns=60)])

    for at_ns, by_name in (
        (49, "not_running"),
        (50, "name"),
        (59, "name"),
        (60, "not_running"),
    ):
        assert answer(site, at_ns, pod_uid="p1") == ("p1", "pod_uid")
        assert answer(site, at_ns, pod="name-p1", namespace="ns")[1] == by_name


def test_a_restarted_pod_of_one_name_is_told_by_time():
    site = directory(
        [pod("a", name="x", start_ns=0, end_ns=50), pod("b", name="x", start_ns=50)]
    )

    assert answer(site, 49, pod="x", namespace="ns") == ("a", "name")
    assert answer(site, 50, pod="x", namespace="ns") == ("b", "name")


def test_a_name_in_two_namespaces_needs_the_namespace():
    site = directory([pod("a", name="x"), pod("b", name="x", namespace="other", start_ns=50)])

    assert answer(site, 10, pod="x") == ("a", "name")
    assert answer(site, 60, pod="x") == (None, "ambiguous_name")
    assert answer(site, 60, pod="x", namespace="other") == ("b", "name")


def test_a_pod_without_a_workload_is_still_named():
    (span,) = attribute((("pod_uid", "idle"),), SITE)

    assert (span.owner, span.by, span.reason, span.pod_uid) == (
        None,
        None,
        "no_workload",
        "idle",
    )


def test_view_labels():
    owner = Owner("llm-0", "p1", "", "llm", "w", "", "top")
    labels = label.of(
        {
            "__name__": "m",
            "job": "dcgm",
            "pod_name": "claimed",
            "pod_namespace": "claimed",
            "a": "b",
        }
    )

    assert view_labels(labels, owner) == label.of(
        {
            "__name__": "workload_m",
            "a": "b",
            "job": "dcgm",
            "pod_name": "llm-0",
            "pod_uid": "p1",
            "workload_name": "llm",
            "workload_uid": "w",
            "workload_root_uid": "top",
        }
    )
    assert dict(view_labels(labels, owner, prefix="x:"))["__name__"] == "x:m"


def test_the_shared_cases(shared_data):
    vectors = json.loads(
        (shared_data / "lens_vectors" / "remote_write_relabel.json").read_text()
    )
    pods, holds, names = [], [], {}
    for node, by_label in vectors["cache"]["device"].items():
        for name, devices in by_label.items():
            for device, (pod_name, uid) in devices.items():
                names[pod_name] = uid
                kind = {"gpu_id": "gpu", "device": "rdma"}[name]
                holds.append(Hold(uid, node, Device(kind, device), 0, None))
    names["pod-x"] = "uid-x"
    leaf = vectors["cache"]["workload_by_pod"]
    for pod_name, uid in names.items():
        (workload_uid,) = [found[0][1] for of, found in leaf.items() if of == pod_name] or [
            None
        ]
        pods.append(Pod(uid, pod_name, "", "node-1", workload_uid))
    workloads = [
        Workload("uid-1", "workload-1", parent_uid="puid-1"),
        Workload("puid-1", "parent-1"),
        Workload("uid-9", "workload-9"),
    ]
    site = Directory(workloads, pods, holds)

    assert site.pods_cache(0) == vectors["cache"]["device"]
    found = {}
    for case in vectors["cases"]:
        labels = label.of(case["input"]["labels"])
        span = span_at(attribute(labels, site), 1000)
        found[case["id"]] = dict(view_labels(labels, span.owner)) if span.owner else span.reason
    assert found["gpu"] == {
        **vectors["cases"][0]["observed"][0]["labels"],
        "job": "amd-exporter",
        "workload_root_uid": "puid-1",
    }
    # One series, whose root reaches the parent; the reference writes one for each ancestor.
    assert found["fan-out-two-workloads"]["workload_uid"] == "uid-1"
    assert found["fan-out-two-workloads"]["workload_root_uid"] == "puid-1"
    assert found["rdma-device-no-workload"] == "no_workload"
    assert found["no-node-label-but-pod"]["workload_uid"] == "uid-9"
    assert found["dup-label-names"]["pod_name"] == "pod-x"
    assert found["unknown-device-type"] == "unknown_device"


GPUS = [gpu(i) for i in range(3)]
steps = st.lists(
    st.tuples(st.sampled_from(["p", "q", "r"]), st.sets(st.sampled_from(GPUS)), st.booleans()),
    min_size=1,
    max_size=10,
)


def statement(uid, devices, *, start_ns=None, end_ns=None, node="n1"):
    given_keys = frozenset({"uid", "name", "node", "workload_uid", "devices", "end"})
    made = Pod(uid, uid, "ns", node, "w")
    return Placements((), (PlacedPod(made, tuple(devices), start_ns, end_ns, given_keys),))


def brute(statements, device, node, at_ns):
    """The plain model: the last thing said of each pod before *at_ns*."""
    said = {}
    for told_ns, uid, devices, where in statements:
        if told_ns <= at_ns:
            said[uid] = [(where, device) for device in devices]
    holders = sorted(uid for uid, held in said.items() if (node, device) in held)
    return holders[0] if len(holders) == 1 else "shared_device" if holders else None


def asked(site, device, node, at_ns):
    found, how = answer(site, at_ns, Hostname=node, gpu=device.id)
    return how if how == "shared_device" else found


@given(steps)
def test_swaps_and_moves_are_what_was_said(said):
    """Documents in turn, against a model that only knows what was last said."""
    stored, statements = EMPTY, []
    for step, (uid, devices, elsewhere) in enumerate(said):
        now_ns, node = 10 * (step + 1), "n2" if elsewhere else "n1"
        document = statement(uid, sorted(devices), node=node)
        stored = updated(stored, placed.apply(stored, document, now_ns=now_ns))
        statements.append((now_ns, uid, devices, node))
        assert placed.apply(stored, document, now_ns=now_ns + 3).empty

    site = Directory.of(stored)
    for at_ns in range(0, 10 * len(said) + 20, 5):
        for device in GPUS:
            for node in ("n1", "n2"):
                assert asked(site, device, node, at_ns) == brute(
                    statements, device, node, at_ns
                )


spans_of = st.tuples(
    st.sampled_from(GPUS), st.integers(0, 40), st.integers(1, 30), st.booleans()
).map(lambda row: (row[0], row[1], None if row[3] else row[1] + row[2]))


@given(st.lists(spans_of, min_size=1, max_size=5), st.randoms(), st.integers(0, 100))
def test_documents_in_any_order_and_told_at_any_time_are_the_same(rows, random, now_ns):
    """And what they change of the past is in the change's dirty spans."""
    documents = [
        statement(f"p{i}", [device], start_ns=start_ns, end_ns=end_ns)
        for i, (device, start_ns, end_ns) in enumerate(rows)
    ]
    random.shuffle(documents)
    stored = EMPTY
    for document in documents:
        change = placed.apply(stored, document, now_ns=now_ns)
        before, stored = Directory.of(stored), updated(stored, change)
        after = Directory.of(stored)
        for at_ns in range(now_ns):
            dirty = any(start_ns <= at_ns < end_ns for start_ns, end_ns in change.dirty)
            for device in GPUS:
                if not dirty:
                    assert asked(before, device, "n1", at_ns) == asked(
                        after, device, "n1", at_ns
                    )

    site = Directory.of(stored)
    for at_ns in range(75):
        for device in GPUS:
            holders = [
                f"p{i}"
                for i, (held, start_ns, end_ns) in enumerate(rows)
                if held == device and start_ns <= at_ns and (end_ns is None or at_ns < end_ns)
            ]
            model = holders[0] if len(holders) == 1 else "shared_device" if holders else None
            assert asked(site, device, "n1", at_ns) == model


@given(st.lists(spans_of, max_size=4), st.lists(spans_of, max_size=3))
def test_spans_cover_all_time_once(rows, names):
    pods = [pod(f"p{i}") for i in range(len(rows))]
    pods += [
        pod(f"n{i}", name="x", start_ns=start, end_ns=end)
        for i, (_, start, end) in enumerate(names)
    ]
    holds = [hold(f"p{i}", gpu(0), start, end) for i, (_, start, end) in enumerate(rows)]

    spans = attribute(
        label.of({"node": "n1", "gpu": "0", "pod": "x", "namespace": "ns"}),
        directory(pods, holds),
    )

    assert (spans[0].start_ns, spans[-1].end_ns) == (AT_NS_MIN, AT_NS_MAX)
    for before, after in itertools.pairwise(spans):
        assert before.end_ns == after.start_ns
        assert before[2:] != after[2:]
    for span in spans:
        assert span.start_ns < span.end_ns
        assert (span.owner is None) == (span.by is None) == (span.reason is not None)
