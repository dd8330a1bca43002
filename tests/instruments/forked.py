"""Work in forked children, which never come back into the test that forked them."""

import os
import signal
import traceback

# A child that waits for ever is ended so, and fails its test.
CHILD_S = 20


def child(work):
    """Fork, and do *work* in the child; its process id. It ends with 0 unless *work* raises."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(CHILD_S)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status(pid):
    """Wait for the child *pid*; its exit code, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
