"""NCCL, RCCL and gloo: time-outs, errors, warnings that are failures and that are not."""

import pytest

from tests.training.telling import assert_silent, assert_told

CASES = [
    # line, event type, severity, attributes
    ("[E ProcessGroupNCCL.cpp:821] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE, TensorShape=[1], Timeout(ms)=60000) ran for 61000 milliseconds before timing out.", "nccl_timeout", "critical",
     {"pg_rank": 1, "rank": 1, "op_type": "ALLREDUCE", "timeout_ms": 60000, "ran_ms": 61000, "backend": "nccl", "role": "cascade"}),
    ("[rank1]:[E ProcessGroupNCCL.cpp:475] [Rank 1] NCCL watchdog thread terminated with exception: [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=5, OpType=BROADCAST, NumelIn=1, NumelOut=1, Timeout(ms)=1800000) ran for 1800123 milliseconds before timing out.", "nccl_timeout", "critical",
     {"pg_rank": 1, "rank": 1, "seq_num": 5, "op_type": "BROADCAST", "numel_in": 1, "numel_out": 1, "timeout_ms": 1800000, "ran_ms": 1800123, "backend": "nccl", "role": "confirmation"}),
    ("[rank3]:[E1112 10:11:12.123456789 ProcessGroupNCCL.cpp:616] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=15, OpType=COALESCED, NumelIn=18446744073709551615, NumelOut=18446744073709551615, Timeout(ms)=600000) ran for 600003 milliseconds before timing out.", "nccl_timeout", "critical",
     {"pg_rank": 3, "rank": 3, "seq_num": 15, "op_type": "COALESCED", "numel_in": 18446744073709551615, "numel_out": 18446744073709551615, "timeout_ms": 600000, "ran_ms": 600003, "backend": "nccl", "role": "cascade"}),
    ("[rank12]:[E1112 10:11:12.123456789 ProcessGroupNCCL.cpp:1785] [PG ID 2 PG GUID 5(tensor_parallel) Rank 4] Exception (either an error or timeout) detected by watchdog at work: 20, last enqueued NCCL work: 21, last completed NCCL work: 19.", "nccl_timeout", "critical",
     {"group": "tensor_parallel", "group_id": 2, "pg_rank": 4, "rank": 12, "seq_num": 20, "last_enqueued": 21, "last_completed": 19, "backend": "nccl", "role": "cascade"}),
    ("[rank0]:[E ProcessGroupNCCL.cpp:588] [Rank 0] Some NCCL operations have failed or timed out. Due to the asynchronous nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.", "nccl_error", "critical",
     {"pg_rank": 0, "rank": 0, "role": "confirmation"}),
    ("[rank4]:[E ProcessGroupNCCL.cpp:1316] [PG 0 Rank 4] Received a dump signal due to a collective timeout from  rank 3 and we will try our best to dump the debug info. Last enqueued NCCL work: 100, last completed NCCL work: 99.This is most likely caused by incorrect usages of collectives", "nccl_timeout", "critical",
     {"group_id": 0, "pg_rank": 4, "rank": 4, "last_enqueued": 100, "last_completed": 99, "backend": "nccl", "role": "confirmation"}),
    ("[rank4]:[E ProcessGroupNCCL.cpp:1153] [PG 0 Rank 4] ProcessGroupNCCL's watchdog got stuck for 600 seconds without making progress in monitoring enqueued collectives. This typically indicates a NCCL/CUDA API hang blocking the watchdog", "nccl_timeout", "critical",
     {"group_id": 0, "pg_rank": 4, "rank": 4, "watchdog_stuck_s": 600, "backend": "nccl", "role": "cascade"}),
    ("RuntimeError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.21.5", "nccl_error", "critical",
     {"error": "unhandled cuda error", "nccl_version": "2.21.5", "role": "root"}),
    ("torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.hpp:268, remote process exited or there was a network error, NCCL version 2.20.5", "nccl_error", "critical",
     {"error": "remote process exited or there was a network error", "nccl_version": "2.20.5", "role": "cascade"}),
    ("ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.", "nccl_error", "critical",
     {"error": "ncclRemoteError", "role": "cascade"}),
    ("ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.", "nccl_error", "critical",
     {"error": "ncclSystemError", "role": "root"}),
    ("RuntimeError: NCCL communicator was aborted on rank 3. Original reason for failure was: NCCL error: remote process exited", "nccl_error", "critical",
     {"error": "communicator was aborted", "role": "confirmation"}),
    ("torch.distributed.DistBackendError: [3] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d key-value store by key '0', but store->get('0') got error: Connection reset by peer", "nccl_error", "critical",
     {"error": "Connection reset by peer", "role": "cascade"}),
    ("node1:100:200 [0] misc/socket.cc:484 NCCL WARN socketStartConnect: Connect to 10.0.0.1<34567> failed : Software caused connection abort", "nccl_error", "error",
     {"host": "node1", "pid": 100, "gpu": 0, "place": "misc/socket.cc:484", "message": "socketStartConnect: Connect to 10.0.0.1<34567> failed : Software caused connection abort", "peer": "10.0.0.1:34567", "role": "cascade"}),
    ("node1:100:200 [5] transport/net_ib.cc:1295 NCCL WARN NET/IB : Got completion from peer 10.0.0.5<45678> with status=12 opcode=0 len=0 vendor err 129 (Recv) localGid fe80 hca mlx5_5", "nccl_error", "error",
     {"host": "node1", "pid": 100, "gpu": 5, "place": "transport/net_ib.cc:1295", "message": "NET/IB : Got completion from peer 10.0.0.5<45678> with status=12 opcode=0 len=0 vendor err 129 (Recv) localGid fe80 hca mlx5_5", "hca": "mlx5_5", "peer": "10.0.0.5:45678", "role": "cascade"}),
    ("node1:100:200 [5] proxy.cc:1139 NCCL WARN [Proxy Service 5] Failed to execute operation Connect from rank 5, retcode 3", "nccl_error", "error",
     {"host": "node1", "pid": 100, "gpu": 5, "place": "proxy.cc:1139", "message": "[Proxy Service 5] Failed to execute operation Connect from rank 5, retcode 3", "role": "root"}),
    ("node1:100:200 [2] enqueue.cc:1234 NCCL WARN Cuda failure 700 'an illegal memory access was encountered'", "nccl_error", "error",
     {"host": "node1", "pid": 100, "gpu": 2, "place": "enqueue.cc:1234", "message": "Cuda failure 700 'an illegal memory access was encountered'", "role": "root"}),
    ("RuntimeError: Rank 0 successfully reached monitoredBarrier, but received errors while waiting for send/recv from rank 3. Please check rank 3 logs for faulty rank.", "nccl_timeout", "critical",
     {"backend": "gloo", "missing_ranks": [3], "role": "root"}),
    ("RuntimeError: [../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete", "nccl_timeout", "critical",
     {"timeout_ms": 1800000, "backend": "gloo", "role": "cascade"}),
    ("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer [10.0.0.3]:30123", "nccl_error", "critical",
     {"error": "Connection closed by peer", "role": "cascade"}),
    ("[rank7]: torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3384, internal error - please report this issue to the NCCL developers, NCCL version 2.26.2", "nccl_error", "critical",
     {"rank": 7, "error": "internal error", "nccl_version": "2.26.2", "role": "root"}),
    ("[Rank 0]: Ranks 1, 2 failed to pass monitoredBarrier in 1800000 ms", "nccl_timeout", "critical",
     {"pg_rank": 0, "rank": 0, "timeout_ms": 1800000, "backend": "gloo", "missing_ranks": [1, 2], "role": "root"}),
    ("RCCL error: unhandled system error", "nccl_error", "critical",
     {"error": "unhandled system error", "role": "root"}),
    ("[rank9]:[E702 03:04:05.0 ProcessGroupNCCL.cpp:683] [Rank 9] Work WorkNCCL(SeqNum=88, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) timed out in blocking wait.", "nccl_timeout", "critical",
     {"pg_rank": 9, "rank": 9, "seq_num": 88, "op_type": "ALLREDUCE", "numel_in": 1, "numel_out": 1, "timeout_ms": 600000, "backend": "nccl", "role": "cascade"}),
    ("RuntimeError: NCCL Error 2: unhandled system error", "nccl_error", "critical",
     {"error": "unhandled system error", "role": "root"}),
    ("torch.distributed.DistNetworkError: The client socket has timed out after 600s while trying to connect to (10.0.0.1, 29500).", "traceback", "error",
     {"exception": "torch.distributed.DistNetworkError", "message": "The client socket has timed out after 600s while trying to connect to (10.0.0.1, 29500).", "role": "root"}),
    ("[rank0]:[E ProcessGroupNCCL.cpp:594] [Rank 0] To avoid data inconsistency, we are taking the entire process down.", "nccl_error", "critical",
     {"pg_rank": 0, "rank": 0, "role": "confirmation"}),
    ("[rank9]:[F1012 04:05:06.123456789 ProcessGroupNCCL.cpp:1557] [PG ID 0 PG GUID 0(default_pg) Rank 9] [PG ID 0 PG GUID 0(default_pg) Rank 9] Terminating the process after attempting to dump debug info, due to ProcessGroupNCCL watchdog hang.", "nccl_timeout", "critical",
     {"rank": 9, "pg_rank": 9, "group": "default_pg", "group_id": 0, "backend": "nccl", "role": "confirmation"}),
    ("[rank1]:[E1012 04:05:06.1 ProcessGroupNCCL.cpp:1375] [PG ID 0 PG GUID 0(default_pg) Rank 1] First PG on this rank that detected no heartbeat of its watchdog.", "nccl_timeout", "critical",
     {"rank": 1, "pg_rank": 1, "group": "default_pg", "group_id": 0, "backend": "nccl", "role": "confirmation"}),
    ("[ERROR] 2026-05-01-10:11:12 (PID:1234, Device:3, RankID:11) ERR02200 DIST call hccl api failed.", "nccl_error", "critical",
     {"role": "root", "backend": "hccl"}),
    ("EI0006: Getting socket times out. Reason: Remote Rank did not send the data in time. Please check the reason for the rank being stuck", "nccl_timeout", "critical",
     {"backend": "hccl", "role": "cascade"}),
    ("EI0002: [PID: 1234] 2026-05-01-10:11:12 The wait execution of the Notify register times out. Reason: The Notify register has not received the Notify record from remote rank [5].", "nccl_timeout", "critical",
     {"backend": "hccl", "role": "cascade"}),
]  # fmt: skip
SILENT = [
    "[rank0]:[I ProcessGroupNCCL.cpp:594] [Rank 0] NCCL watchdog thread started",
    "node1:100:200 [0] NCCL WARN NCCL_SOCKET_IFNAME set to eth0 by environment",
    "NCCL_DEBUG=WARN TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC=600 HCCL_CONNECT_TIMEOUT=1800 HCCL_EXEC_TIMEOUT=1800",
    'node1:100:200 [0] NCCL WARN NUMA auto balancing enabled which can lead to variability in the RCCL performance! Disable by "sudo sysctl kernel.numa_balancing=0"',
    'node1:100:200 [0] NCCL WARN Missing "iommu=pt" from kernel command line which can lead to system instablity or hang!',
    "[rank1]:[W303 ProcessGroupNCCL.cpp:1168] [PG ID 0 PG GUID 0 Rank 1] Warning: WARNING: process group has NOT been destroyed before we destruct ProcessGroupNCCL. ",
]  # fmt: skip


@pytest.mark.parametrize(("line", "event_type", "severity", "attributes"), CASES)
def test_lines(line, event_type, severity, attributes):
    assert_told(line, event_type, severity, attributes)


@pytest.mark.parametrize("line", SILENT)
def test_lines_that_tell_nothing(line):
    assert_silent(line)
