"""The directory: look-ups, owners and their ancestors, and the two cache pages."""

import pytest

from heliograph.core.owner import ANCESTORS_MAX, Device, Hold, Pod, Workload
from heliograph.workloads.change import Stored
from heliograph.workloads.directory import Directory, Owner


def gpu(number, **more):
    return Device("gpu", str(number), **more)


TEAM = Workload("team", "team-a", "Queue")
JOB = Workload("job", "llm", "PyTorchJob", "ns", parent_uid="team")
WORKER = Pod("p1", "llm-0", "ns", "gpu-node-01.example", "job", 0, None)
LONE = Pod("p2", "lone", "ns", "gpu-node-02", None, 0, 50)
HOLDS = [
    Hold("p1", "gpu-node-01.example", gpu(0, uuid="GPU-A"), 0, None),
    Hold("p1", "gpu-node-01.example", Device("rdma", "mlx5_0"), 0, None),
    Hold("p1", "gpu-node-01.example", Device("asic", "npu0"), 0, None),
    Hold("p2", "gpu-node-02", gpu(1, partition="3"), 0, 50),
]
DIRECTORY = Directory([TEAM, JOB], [WORKER, LONE], HOLDS)


def test_owner():
    assert DIRECTORY.owner("p1") == Owner(
        "llm-0", "p1", "ns", "llm", "job", "PyTorchJob", "team"
    )
    assert DIRECTORY.owner("p2") is None
    assert DIRECTORY.owner("nobody") is None


def test_a_workload_of_which_only_the_uid_is_known():
    directory = Directory([], [WORKER], [])

    assert directory.owner("p1") == Owner("llm-0", "p1", "ns", "", "job", "", "job")


def test_pods_of_a_workload_include_those_below_it():
    assert DIRECTORY.pods_of("job") == DIRECTORY.pods_of("team") == (WORKER,)
    assert DIRECTORY.pods_of("nobody") == ()


def test_the_root_is_the_last_uid_told_even_if_nothing_else_is_known_of_it():
    directory = Directory([JOB], [WORKER], [])

    assert directory.root_uid("job") == "team"
    assert directory.pods_of("team") == (WORKER,)


def test_members_of_a_circle_have_one_root():
    ring = [Workload(uid, uid, parent_uid=above) for uid, above in ("ab", "bc", "ca", "xc")]
    directory = Directory(ring, [Pod("p", "p", workload_uid="x")], [])

    assert {directory.root_uid(uid) for uid in "abcx"} == {"a"}
    assert [w.uid for w in directory.ancestors("x")] == ["x", "c", "a", "b"]
    assert len(directory.pods_of("b")) == 1


def test_a_chain_of_ancestors_is_followed_so_far():
    chain = [Workload(str(i), str(i), parent_uid=str(i + 1)) for i in range(100)]

    assert Directory(chain, [], []).root_uid("0") == str(ANCESTORS_MAX)


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("gpu-node-02", "gpu-node-02"),
        ("GPU-Node-02", "gpu-node-02"),
        ("gpu-node-02.example", "gpu-node-02"),
        ("gpu-node-01", "gpu-node-01.example"),
        ("gpu-node-01.example", "gpu-node-01.example"),
        ("gpu-node-01.elsewhere", None),
        ("gpu-node", None),
        ("10.0.0.7", None),
        ("", None),
    ],
)
def test_node_names(name, node):
    assert DIRECTORY.node_of(name) == node


def test_a_short_name_of_two_nodes_means_neither():
    pods = [Pod("a", "a", node="n1.east"), Pod("b", "b", node="n1.west")]

    assert Directory([], pods, []).node_of("n1") is None


def test_addresses_have_no_short_name():
    directory = Directory([], [Pod("a", "a", node="10.0.0.7")], [])

    assert directory.node_of("10.0.0.7") == "10.0.0.7"
    assert directory.node_of("10.9.9.9") is None
    assert directory.node_of("10") is None


def test_pods_cache():
    assert DIRECTORY.pods_cache(10) == {
        "gpu-node-01.example": {
            "asic": {"npu0": ["llm-0", "p1"]},
            "device": {"mlx5_0": ["llm-0", "p1"]},
            "gpu_id": {"0": ["llm-0", "p1"]},
        },
        "gpu-node-02": {"gpu_id": {"1/3": ["lone", "p2"]}},
    }
    assert "gpu-node-02" not in DIRECTORY.pods_cache(50)


def test_a_shared_device_is_left_out_of_the_cache():
    holds = [Hold(uid, "n", gpu(0), start_ns, None) for uid, start_ns in (("a", 0), ("b", 10))]
    directory = Directory([], [Pod("a", "a"), Pod("b", "b")], holds)

    assert directory.pods_cache(5) == {"n": {"gpu_id": {"0": ["a", "a"]}}}
    assert directory.pods_cache(10) == {}


def test_workload_cache():
    assert DIRECTORY.workload_cache(10) == {"llm-0": [["llm", "job"], ["team-a", "team"]]}
    assert DIRECTORY.workload_cache(-1) == {}


def test_of_what_is_stored():
    stored = Stored(
        {"team": TEAM, "job": JOB},
        {"p1": WORKER, "p2": LONE},
        {"p1": tuple(HOLDS[:3]), "p2": tuple(HOLDS[3:])},
    )

    assert Directory.of(stored).pods_cache(10) == DIRECTORY.pods_cache(10)
