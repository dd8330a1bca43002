"""Devices: what they answer, and how they say that they cannot. No accelerator is needed."""

from types import SimpleNamespace

import pytest

from heliograph.projection import memory_devices, memory_torch
from heliograph.projection.memory_devices import (
    CpuDevice,
    DeviceError,
    NotInUse,
    Reading,
    RecordedDevice,
)

MIB = 1 << 20


def of_pool(size):
    return {"all": {"current": size, "peak": size}, "small_pool": {"current": 0}}


def torch(*, hip=None, cuda="12.8", in_use=True, info=(60, 100), stats=None, mps=False):
    """What torch answers where it was recorded: the parts that are asked for."""
    counted = {
        "allocated_bytes": of_pool(10),
        "reserved_bytes": of_pool(20),
        "active_bytes": of_pool(12),
        "inactive_split_bytes": of_pool(3),
        "num_ooms": 0,
    }
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda, hip=hip),
        cuda=SimpleNamespace(
            is_initialized=lambda: in_use,
            current_device=lambda: 2,
            memory_stats_as_nested_dict=lambda index: counted if stats is None else stats,
            memory_stats=lambda index: {"allocated_bytes.all.current": 10, "num_ooms": 0},
            get_device_name=lambda index: "Recorded",
            mem_get_info=lambda index: info if isinstance(info, tuple) else info(),
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        mps=SimpleNamespace(
            current_allocated_memory=lambda: 10,
            driver_allocated_memory=lambda: 20,
            recommended_max_memory=lambda: 100,
        ),
    )


def fails():
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(("hip", "backend"), [(None, "cuda"), ("6.3", "rocm")])
def test_cuda_and_rocm_are_read_off_the_allocators_counts(hip, backend):
    device = memory_torch.accelerator(torch(hip=hip))

    assert device.read() == Reading(10, 20, 12, 3, 40, 60, 100, 0)
    assert (device.backend, device.device_id) == (backend, 2)
    assert device.details()["device_name"] == "Recorded"


def test_a_device_that_is_not_in_use_is_left_alone():
    with pytest.raises(NotInUse):
        memory_torch.accelerator(torch(in_use=False)).read()


def test_what_the_driver_does_not_answer_is_partial():
    assert memory_torch.accelerator(torch(info=fails)).read() == Reading(
        10, 20, 12, 3, ooms=0, partial=("used_bytes", "free_bytes", "total_bytes")
    )


def test_a_counter_that_torch_lacks_is_partial():
    stats = {"allocated_bytes": of_pool(10), "reserved_bytes": of_pool(20)}

    assert memory_torch.accelerator(torch(stats=stats)).read() == Reading(
        10, 20, None, None, 40, 60, 100, partial=("active_bytes", "inactive_bytes")
    )


def test_a_device_that_has_fallen_off_is_an_error():
    broken = torch()
    broken.cuda.memory_stats_as_nested_dict = lambda index: fails()

    with pytest.raises(DeviceError, match="illegal memory access"):
        memory_torch.accelerator(broken).read()


def test_mps_shares_the_hosts_memory():
    device = memory_torch.accelerator(torch(cuda=None, mps=True))

    assert device.backend == "mps"
    assert device.read() == Reading(10, 20, used_bytes=20, free_bytes=80, total_bytes=100)
    assert device.details() == {}


def test_without_torch_there_is_only_the_host(monkeypatch):
    monkeypatch.delitem(memory_devices.sys.modules, "torch", raising=False)

    assert [one.backend for one in memory_devices.found()] == ["cpu"]
    assert memory_torch.accelerator(None) is None
    assert memory_torch.accelerator(torch(cuda=None)) is None


def proc(folder, *, statm=b"1000 500 100 1 0 200 0\n", meminfo=None):
    """/proc as far as it is read."""
    (folder / "self").mkdir()
    (folder / "self" / "statm").write_bytes(statm)
    (folder / "self" / "status").write_text(
        "Name:\tpython\nVmPeak:\t   9 kB\nRssAnon:\t   5 kB\n"
    )
    told = b"MemTotal: 1024 kB\nMemFree: 1 kB\nMemAvailable: 256 kB\n"
    (folder / "meminfo").write_bytes(told if meminfo is None else meminfo)
    return folder


def cgroup(folder, bound=b"max", current=b"0", stat=b"anon 1\ninactive_file 4096\nfile 9\n"):
    folder.mkdir()
    for name, text in (("max", bound), ("current", current), ("stat", stat)):
        (folder / f"memory.{name}").write_bytes(text)
    return folder


def test_the_host_without_psutil(tmp_path):
    device = CpuDevice(proc=proc(tmp_path), cgroup=tmp_path / "none")
    resident = 500 * device._page_bytes

    assert device.read() == Reading(
        resident,
        resident,
        used_bytes=768 * 1024,
        free_bytes=256 * 1024,
        total_bytes=MIB,
    )
    assert device.details() == {"VmPeak": "9 kB", "RssAnon": "5 kB"}


@pytest.mark.parametrize(
    ("case", "bound", "current", "expected"),
    [
        ("a container's bound counts where it is less", b"524288", b"400000", (395904, 524288)),
        ("one above the machine's does not", b"9999999", b"400000", (768 * 1024, MIB)),
        ("no bound", b"max", b"400000", (768 * 1024, MIB)),
        ("not a number", b"?", b"400000", (768 * 1024, MIB)),
    ],
)
def test_the_bound_of_a_container(tmp_path, case, bound, current, expected):
    group = cgroup(tmp_path / "group", bound, current)
    (tmp_path / "proc").mkdir()

    read = CpuDevice(proc=proc(tmp_path / "proc"), cgroup=group).read()

    assert (read.used_bytes, read.total_bytes) == expected, case
    assert read.free_bytes == read.total_bytes - read.used_bytes


def test_a_system_without_proc_tells_the_peak_at_least(tmp_path):
    read = CpuDevice(proc=tmp_path / "none", cgroup=tmp_path / "none").read()

    assert read.allocated_bytes > MIB
    assert read == Reading(read.allocated_bytes, read.allocated_bytes)


def test_psutil_and_proc_agree():
    by_psutil = memory_devices.host().read()
    by_proc = CpuDevice().read()

    assert by_psutil.total_bytes == by_proc.total_bytes
    assert abs(by_psutil.allocated_bytes - by_proc.allocated_bytes) < 64 * MIB


def test_psutil_that_fails_is_an_error():
    class Wrong(Exception):
        pass

    def memory():
        raise Wrong("gone")

    psutil = SimpleNamespace(
        Error=Wrong, Process=lambda: SimpleNamespace(memory_info=memory), virtual_memory=memory
    )

    with pytest.raises(DeviceError, match="gone"):
        CpuDevice(psutil=psutil).read()


def test_recorded_readings_come_one_after_the_other_and_the_last_for_ever():
    device = RecordedDevice([Reading(1), DeviceError("no"), Reading(2)])

    assert device.read() == Reading(1)
    with pytest.raises(DeviceError):
        device.read()
    assert [device.read(), device.read()] == [Reading(2), Reading(2)]
