"""Process, GC, interpreter, host and GPU metrics, from this machine and from recordings."""

# ruff: noqa: N802 - the recordings have the libraries' own names

import gc
import os
import sys
from types import SimpleNamespace

import prometheus_client
import pytest

from heliograph.core.errors import ConfigError
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.gc_metrics import gc_metrics
from heliograph.instruments.gpu_amd import AmdProbe
from heliograph.instruments.gpu_metrics import GpuMetrics, Reading
from heliograph.instruments.gpu_nvidia import NvidiaProbe
from heliograph.instruments.host_metrics import HostMetrics
from heliograph.instruments.platform_metrics import add_platform, platform_metrics
from heliograph.instruments.process_metrics import ProcessMetrics


def shown(families):
    """{name: {labels as text: value}}"""
    return {
        family.name: {
            ",".join(f"{name}={value}" for name, value in point.labels): point.value
            for point in family.points
        }
        for family in families
    }


def by_prometheus_client(*collectors):
    """The same of prometheus_client's own collectors."""
    found = {}
    for collector in collectors:
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            found[name] = (
                metric.type,
                [tuple(sorted(sample.labels.items())) for sample in metric.samples],
            )
    return found


def test_names_kinds_and_labels_are_those_that_dashboards_know():
    theirs = by_prometheus_client(
        prometheus_client.GC_COLLECTOR,
        prometheus_client.PLATFORM_COLLECTOR,
        prometheus_client.PROCESS_COLLECTOR,
    )
    ours = {
        family.name: (family.kind, [point.labels for point in family.points])
        for family in [*gc_metrics(), *platform_metrics(), *ProcessMetrics()()]
    }

    assert ours == theirs


def test_the_process_is_this_one():
    ours = shown(ProcessMetrics()())
    theirs = {
        metric.name: metric.samples[0].value
        for metric in prometheus_client.PROCESS_COLLECTOR.collect()
    }

    assert ours["process_start_time_seconds"][""] == theirs["process_start_time_seconds"]
    assert ours["process_max_fds"][""] == theirs["process_max_fds"]
    assert abs(ours["process_open_fds"][""] - theirs["process_open_fds"]) <= 2
    cpu_s = ours["process_cpu_seconds_total"][""]
    assert abs(cpu_s - sum(os.times()[:2])) < 1
    resident = ours["process_resident_memory_bytes"][""]
    assert abs(resident - theirs["process_resident_memory_bytes"]) < 50e6


def recorded_proc(folder, command="python3 (a) b"):
    proc = folder / "proc"
    (proc / "self" / "fd").mkdir(parents=True)
    for fd in range(5):
        (proc / "self" / "fd" / str(fd)).write_text("")
    before = f"4711 ({command}) S 1 4711 4711 0 -1 4194304 9 0 0 0"
    (proc / "self" / "stat").write_text(
        f"{before} 250 50 0 0 20 0 3 0 10000 8192000 100 18446744073709551615 1 1 0 0"
    )
    (proc / "self" / "limits").write_text(
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max open files            unlimited            1048576              files\n"
    )
    (proc / "stat").write_text("cpu  1 2 3\nbtime 1790000000\nprocesses 7\n")
    return proc


def test_a_recorded_proc_with_brackets_in_the_command(tmp_path):
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")

    assert shown(ProcessMetrics(recorded_proc(tmp_path))()) == {
        "process_virtual_memory_bytes": {"": 8192000},
        "process_resident_memory_bytes": {"": 100 * page},
        "process_start_time_seconds": {"": 1790000000 + 10000 / ticks},
        "process_cpu_seconds_total": {"": 300 / ticks},
        "process_open_fds": {"": 5},
        "process_max_fds": {"": float("inf")},
    }


def test_what_cannot_be_read_is_left_out(tmp_path):
    proc = recorded_proc(tmp_path)
    (proc / "stat").write_text("no boot time")
    (proc / "self" / "limits").unlink()
    names = set(shown(ProcessMetrics(proc)()))
    assert "process_start_time_seconds" not in names
    assert {"process_open_fds", "process_cpu_seconds_total"} <= names

    (proc / "self" / "stat").write_text("garbage")
    assert set(shown(ProcessMetrics(proc)())) == {"process_open_fds"}
    assert ProcessMetrics(tmp_path / "elsewhere")() == []


def test_a_forked_child_reads_its_own():
    metrics = ProcessMetrics()
    parent = shown(metrics())["process_start_time_seconds"][""]
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            pages = shown(metrics())
            os.write(writing, str(pages["process_start_time_seconds"][""]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert float(told.read()) > parent
    os.waitpid(child, 0)


def test_gc_counts_by_generation():
    before = shown(gc_metrics())["python_gc_collections_total"]["generation=2"]
    gc.collect()

    assert shown(gc_metrics())["python_gc_collections_total"]["generation=2"] == before + 1


def test_an_interpreter_without_gc_statistics_shows_none(monkeypatch):
    monkeypatch.delattr(gc, "get_stats")

    assert gc_metrics() == []


def test_a_collector_shows_them_until_told_otherwise():
    collector = TelemetryCollector()
    end = add_platform(collector)
    page = collector.render().decode()
    assert "\nprocess_cpu_seconds_total " in page
    assert f'version="{sys.version.split()[0]}"}} 1.0' in page
    end()

    assert "python_info" not in collector.render().decode()


class RecordedPsutil:
    """What psutil 7 answered on a node with an InfiniBand link."""

    class Error(Exception):
        pass

    def __init__(self, **broken):
        self._broken = broken

    def __getattribute__(self, name):
        broken = object.__getattribute__(self, "__dict__").get("_broken", {})
        if name in broken:
            raise broken[name]
        return object.__getattribute__(self, name)

    def cpu_times(self):
        times = {"user": 10.5, "system": 2.25, "idle": 100.0, "guest": 1.0, "guest_nice": 0.0}
        return SimpleNamespace(_asdict=lambda: times)

    def cpu_count(self):
        return 192

    def getloadavg(self):
        return (96.5, 90.0, 80.0)

    def virtual_memory(self):
        return SimpleNamespace(total=2 * 2**40, available=2**40, used=2**39, free=2**38)

    def swap_memory(self):
        return SimpleNamespace(used=0)

    def disk_io_counters(self, perdisk):
        return SimpleNamespace(read_bytes=111, write_bytes=222)

    def net_io_counters(self, pernic):
        device = SimpleNamespace(bytes_recv=1, bytes_sent=2, errin=3, errout=4)
        return {"lo": device, "ib0": device, "eth0": device}


def test_a_recorded_host():
    assert shown(HostMetrics(RecordedPsutil())()) == {
        "host_cpu_seconds_total": {"mode=user": 10.5, "mode=system": 2.25, "mode=idle": 100.0},
        "host_cpus": {"": 192.0},
        "host_load_average": {"window=1m": 96.5, "window=5m": 90.0, "window=15m": 80.0},
        "host_memory_total_bytes": {"": 2.0**41},
        "host_memory_available_bytes": {"": 2.0**40},
        "host_memory_used_bytes": {"": 2.0**39},
        "host_swap_used_bytes": {"": 0.0},
        "host_disk_read_bytes_total": {"": 111.0},
        "host_disk_written_bytes_total": {"": 222.0},
        "host_network_received_bytes_total": {"device=eth0": 1.0, "device=ib0": 1.0},
        "host_network_sent_bytes_total": {"device=eth0": 2.0, "device=ib0": 2.0},
        "host_network_receive_errors_total": {"device=eth0": 3.0, "device=ib0": 3.0},
        "host_network_send_errors_total": {"device=eth0": 4.0, "device=ib0": 4.0},
    }


def test_a_part_of_the_host_that_cannot_be_read_takes_no_other_with_it():
    broken = RecordedPsutil(
        cpu_times=RecordedPsutil.Error("denied"), disk_io_counters=FileNotFoundError("/proc")
    )
    names = set(shown(HostMetrics(broken)()))

    assert not names & {"host_cpus", "host_disk_read_bytes_total"}
    assert {"host_load_average", "host_memory_total_bytes"} <= names


def test_interfaces_are_bounded():
    recorded = RecordedPsutil()
    device = SimpleNamespace(bytes_recv=1, bytes_sent=2, errin=3, errout=4)
    recorded.net_io_counters = lambda pernic: {f"veth{n:04}": device for n in range(500)}

    assert len(shown(HostMetrics(recorded)())["host_network_sent_bytes_total"]) == 64


def test_this_host():
    pytest.importorskip("psutil")
    found = shown(HostMetrics.here()())

    assert found["host_memory_total_bytes"][""] > 2**20
    assert found["host_cpus"][""] >= 1
    assert found["host_cpu_seconds_total"]["mode=user"] > 0


def test_a_library_that_is_missing_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)

    with pytest.raises(ConfigError, match=r"host metrics need psutil \(pip install psutil\)"):
        HostMetrics.here()


class NvmlError(Exception):
    """NVMLError, as the library raises it for what a device does not support."""


class RecordedNvml:
    """nvidia-ml-py 13 on a node of two: an H100, and one without power or energy readings."""

    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1

    def __init__(self, count=2, lost=()):
        self.count, self.lost, self.begun, self.ended = count, lost, 0, 0

    def nvmlInit(self):
        self.begun += 1

    def nvmlShutdown(self):
        self.ended += 1

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        if index in self.lost:
            raise NvmlError("GPU is lost")
        return index

    def nvmlDeviceGetUUID(self, device):
        return ["GPU-aaaa", b"GPU-bbbb"][device]

    def nvmlDeviceGetName(self, device):
        return ["NVIDIA H100 80GB HBM3", b"Tesla T4"][device]

    def nvmlDeviceGetUtilizationRates(self, device):
        return SimpleNamespace(gpu=97, memory=40)

    def nvmlDeviceGetMemoryInfo(self, device):
        return SimpleNamespace(used=60 * 2**30, total=80 * 2**30, free=20 * 2**30)

    def nvmlDeviceGetTemperature(self, device, sensor):
        assert sensor == self.NVML_TEMPERATURE_GPU
        return 61

    def nvmlDeviceGetPowerUsage(self, device):
        if device == 1:
            raise NvmlError("Not Supported")
        return 693_250

    def nvmlDeviceGetTotalEnergyConsumption(self, device):
        if device == 1:
            raise NvmlError("Not Supported")
        return 5_000_000

    def nvmlDeviceGetClockInfo(self, device, clock):
        assert clock == self.NVML_CLOCK_SM
        return 1980


def test_recorded_devices_of_nvidia():
    h100 = "gpu=0,model=NVIDIA H100 80GB HBM3,uuid=GPU-aaaa"
    t4 = "gpu=1,model=Tesla T4,uuid=GPU-bbbb"

    assert shown(GpuMetrics([NvidiaProbe(RecordedNvml())])()) == {
        "gpu_utilization_ratio": {h100: 0.97, t4: 0.97},
        "gpu_memory_used_bytes": {h100: 60.0 * 2**30, t4: 60.0 * 2**30},
        "gpu_memory_total_bytes": {h100: 80.0 * 2**30, t4: 80.0 * 2**30},
        "gpu_temperature_celsius": {h100: 61.0, t4: 61.0},
        "gpu_power_watts": {h100: 693.25},
        "gpu_energy_joules_total": {h100: 5000.0},
        "gpu_clock_hertz": {h100: 1.98e9, t4: 1.98e9},
    }


def test_a_lost_device_takes_no_other_with_it():
    found = NvidiaProbe(RecordedNvml(lost=(0,))).read()

    assert [(one.index, one.uuid) for one in found] == [(1, "GPU-bbbb")]


def test_nvml_begins_anew_after_a_fork_and_ends_once(monkeypatch):
    nvml = RecordedNvml()
    probe = NvidiaProbe(nvml)
    probe.read()
    assert nvml.begun == 1
    monkeypatch.setattr(os, "getpid", lambda: 1)
    probe.read()
    assert nvml.begun == 2
    probe.close()
    probe.close()
    assert nvml.ended == 1


def test_a_driver_that_went_away_shows_nothing(monkeypatch):
    nvml = RecordedNvml()
    probe = NvidiaProbe(nvml)

    def gone():
        raise NvmlError("Driver Not Loaded")

    monkeypatch.setattr(nvml, "nvmlDeviceGetCount", gone)
    assert probe.read() == []


class SmiError(Exception):
    """AmdSmiException."""


class RecordedSmi:
    """amdsmi of ROCm 6 on a node of two MI300X; the second answers "N/A" to most."""

    AmdSmiException = SmiError
    AmdSmiTemperatureType = SimpleNamespace(EDGE=0, HOTSPOT=1)
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT=0)
    AmdSmiClkType = SimpleNamespace(GFX=0)

    def amdsmi_init(self):
        pass

    def amdsmi_shut_down(self):
        pass

    def amdsmi_get_processor_handles(self):
        return [0, 1]

    def amdsmi_get_gpu_device_uuid(self, device):
        return ["e0ff74a1", "e1ff74a1"][device]

    def amdsmi_get_gpu_asic_info(self, device):
        return {"market_name": "MI300X", "asic_serial": ["0xA", "0xB"][device], "rev_id": 0}

    def amdsmi_get_gpu_vram_usage(self, device):
        return {"vram_total": 196_592, "vram_used": 1024}

    def amdsmi_get_gpu_activity(self, device):
        return [{"gfx_activity": 88, "umc_activity": 3}, {"gfx_activity": "N/A"}][device]

    def amdsmi_get_power_info(self, device):
        if device:
            raise SmiError("not supported")
        return {"current_socket_power": 540, "average_socket_power": "N/A"}

    def amdsmi_get_clock_info(self, device, kind):
        return [{"clk": 2100}, {"clk": "N/A"}][device]

    def amdsmi_get_energy_count(self, device):
        if device:
            raise SmiError("not supported")
        return {"energy_accumulator": 1_000_000, "counter_resolution": 15.3}

    def amdsmi_get_temp_metric(self, device, kind, metric):
        if kind == self.AmdSmiTemperatureType.EDGE:
            raise SmiError("not supported")
        return [47, "N/A"][device]


def test_recorded_devices_of_amd():
    first = "gpu=0,model=MI300X,serial_number=0xA,uuid=e0ff74a1"
    second = "gpu=1,model=MI300X,serial_number=0xB,uuid=e1ff74a1"

    assert shown(GpuMetrics([AmdProbe(RecordedSmi())])()) == {
        "gpu_utilization_ratio": {first: 0.88},
        "gpu_memory_used_bytes": {first: 2.0**30, second: 2.0**30},
        "gpu_memory_total_bytes": {first: 196_592.0 * 2**20, second: 196_592.0 * 2**20},
        "gpu_temperature_celsius": {first: 47.0},
        "gpu_power_watts": {first: 540.0},
        "gpu_energy_joules_total": {first: pytest.approx(15.3)},
        "gpu_clock_hertz": {first: 2.1e9},
    }


def test_no_device_no_points():
    class Without:
        def read(self):
            return []

        def close(self):
            pass

    metrics = GpuMetrics([Without()])

    assert metrics() == []
    metrics.close()


def test_a_machine_without_gpus_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setitem(sys.modules, "amdsmi", None)

    with pytest.raises(ConfigError, match=r"nvidia-ml-py.*; AMD's GPU metrics need amdsmi"):
        GpuMetrics.here()


def test_a_library_without_a_driver_is_told(monkeypatch):
    nvml = RecordedNvml()

    def no_driver():
        raise NvmlError("Driver Not Loaded")

    nvml.nvmlInit = no_driver
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    with pytest.raises(ConfigError, match="Driver Not Loaded"):
        NvidiaProbe.here()
    assert Reading(0, "u", "m").power_watts is None
