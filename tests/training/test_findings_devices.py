"""What drivers and CUDA say of devices and links: Xid, SXid, amdgpu, ECC, links."""

import pytest

from tests.training.telling import assert_silent, assert_told

CASES = [
    # line, event type, severity, attributes
    ("NVRM: Xid (PCI:0000:3b:00): 13, pid=12345, name=python3, Graphics Exception: ESR 0x50d730=0x10 0x50d734=0x24", "xid", "warning",
     {"xid": 13, "pci": "0000:3b:00", "name": "graphics engine exception, usually an illegal access of the program", "verdict": "application", "pid": 12345, "process": "python3", "role": "root"}),
    ("NVRM: Xid (PCI:0000:3b:00): 31, pid=2333, name=python, Ch 00000018, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_3 faulted @ 0x7f. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ", "xid", "warning",
     {"xid": 31, "pci": "0000:3b:00", "name": "GPU memory page fault, usually an illegal access of the program", "verdict": "application", "pid": 2333, "process": "python", "role": "root"}),
    ("NVRM: Xid (PCI:0000:84:00): 45, pid=3456, Ch 00000010", "xid", "info",
     {"xid": 45, "pci": "0000:84:00", "name": "cleanup after an earlier error", "verdict": "ignore", "pid": 3456, "role": "cascade"}),
    ("NVRM: Xid (PCI:0000:84:00): 48, pid='<unknown>', name=<unknown>, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at partition 6", "xid", "critical",
     {"xid": 48, "pci": "0000:84:00", "name": "double-bit ECC error", "verdict": "hardware", "role": "root"}),
    ("NVRM: Xid (PCI:0000:84:00): 94, pid=7194, Contained: SM (0x1). RST: No, D-RST: No", "xid", "warning",
     {"xid": 94, "pci": "0000:84:00", "name": "contained memory error", "verdict": "application", "pid": 7194, "role": "root"}),
    ("NVRM: Xid (PCI:0000:84:00): 74, pid=7194, NVLink: fatal error detected on link 3(0x0)", "xid", "critical",
     {"xid": 74, "pci": "0000:84:00", "name": "NVLink error", "verdict": "fabric", "pid": 7194, "role": "root"}),
    ("kernel: NVRM: Xid (PCI:0002:00:00): 119, pid=1234, name=python, Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL)", "xid", "critical",
     {"xid": 119, "pci": "0002:00:00", "name": "no answer from the GPU system processor", "verdict": "hardware", "pid": 1234, "process": "python", "role": "root"}),
    ("Sep 17 12:01:02 node7 kernel: [1234.5] NVRM: Xid (PCI:0000:c9:00): 63, pid='<unknown>', name=<unknown>, Row Remapper: New row (0x1) marked for remapping", "xid", "info",
     {"xid": 63, "pci": "0000:c9:00", "name": "a memory row is marked for remapping", "verdict": "ignore", "role": "confirmation"}),
    ("nvidia-nvswitch3: SXid (PCI:0000:c4:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)", "xid", "warning",
     {"sxid": 12028, "pci": "0000:c4:00.0", "name": "Link 32 egress non-posted PRIV error (First)", "verdict": "fabric", "fatal": False, "link": 32, "role": "root"}),
    ("amdgpu 0000:c1:00.0: amdgpu: GPU reset begin!", "xid", "critical",
     {"driver": "amdgpu", "pci": "0000:c1:00.0", "name": "GPU reset", "role": "cascade"}),
    ("[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, signaled seq=123, emitted seq=125", "xid", "critical",
     {"driver": "amdgpu", "name": "ring time-out", "role": "root"}),
    ("amdgpu 0000:03:00.0: amdgpu: [gfxhub0] no-retry page fault (src_id:0 ring:24 vmid:3 pasid:32771, for process python pid 1234 thread python pid 1234)", "xid", "warning",
     {"driver": "amdgpu", "pci": "0000:03:00.0", "name": "page fault", "role": "root"}),
    ("amdgpu 0000:c1:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block", "ecc", "critical",
     {"pci": "0000:c1:00.0", "block": "umc", "driver": "amdgpu", "errors": 2, "corrected": False, "role": "root"}),
    ("amdgpu 0000:c1:00.0: amdgpu: socket: 0, die: 0 1 new correctable hardware errors detected in total in umc block", "ecc", "warning",
     {"pci": "0000:c1:00.0", "block": "umc", "driver": "amdgpu", "errors": 1, "corrected": True, "role": "root"}),
    ("CUDA error: uncorrectable ECC error encountered", "ecc", "critical",
     {"corrected": False, "role": "root"}),
    ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "ecc", "critical",
     {"corrected": False, "role": "root"}),
    ("EDAC MC0: 1 UE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0", "ecc", "critical",
     {"device": "MC0", "driver": "edac", "errors": 1, "corrected": False, "role": "root"}),
    ("EDAC MC0: 3 CE memory read error on CPU_SrcID#0", "ecc", "warning",
     {"device": "MC0", "driver": "edac", "errors": 3, "corrected": True, "role": "root"}),
    ("mlx5_core 0000:1a:00.0 ib0: Link down", "link_down", "critical",
     {"driver": "mlx5_core", "pci": "0000:1a:00.0", "device": "ib0", "role": "root"}),
    ("mlx5_core 0000:86:00.0: mlx5_2: Port: 1 Link DOWN", "link_down", "critical",
     {"driver": "mlx5_core", "pci": "0000:86:00.0", "port": 1, "role": "root"}),
    ("bnxt_en 0000:04:00.0 eno1np0: NIC Link is Down", "link_down", "critical",
     {"driver": "bnxt_en", "pci": "0000:04:00.0", "device": "eno1np0", "role": "root"}),
    ("bond0: (slave ens1f0): link status definitely down, disabling slave", "link_down", "critical",
     {"device": "ens1f0", "role": "root"}),
    ("eth2: link is down", "link_down", "critical",
     {"device": "eth2", "role": "root"}),
    ("e1000e: eth0 NIC Link is Down", "link_down", "critical",
     {"device": "eth0", "role": "root"}),
    ("i40e 0000:3d:00.1 eno2: NIC Link is Down", "link_down", "critical",
     {"driver": "i40e", "pci": "0000:3d:00.1", "device": "eno2", "role": "root"}),
    ("NVLink: GPU 3 link 5 is down", "link_down", "critical",
     {"link": 5, "role": "root"}),
    ("[ 4443.9] mlx5_core 0000:53:00.0: Port module event: module 0, Cable unplugged", "link_down", "critical",
     {"pci": "0000:53:00.0", "role": "root"}),
    ("[1.2] amdgpu 0000:05:00.0: amdgpu: HWS hang", "xid", "critical",
     {"driver": "amdgpu", "pci": "0000:05:00.0", "name": "GPU hang", "role": "root"}),
    ("amdgpu: qcm fence wait loop timeout expired", "xid", "critical",
     {"driver": "amdgpu", "name": "GPU hang", "role": "root"}),
]  # fmt: skip
SILENT = [
    "NVRM: The NVIDIA GPU 0000:18:00.0",
    "[Hardware Error]: Machine check events logged",
    "amdgpu 0000:0b:00.0: amdgpu: GPU reset(2) succeeded!",
    "pcieport 0000:00:01.0: AER: Uncorrected (Fatal) error received: 0000:01:00.0",
    "pcieport 0000:17:01.0: pciehp: Slot(5): Link Down",
]  # fmt: skip


@pytest.mark.parametrize(("line", "event_type", "severity", "attributes"), CASES)
def test_lines(line, event_type, severity, attributes):
    assert_told(line, event_type, severity, attributes)


@pytest.mark.parametrize("line", SILENT)
def test_lines_that_tell_nothing(line):
    assert_silent(line)
