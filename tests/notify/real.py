"""Debian's Alertmanager, which reads its templates from /usr/share: unpacked and not installed, it is
shown its own there, in a mount namespace."""

import shutil
import subprocess
from pathlib import Path

from tests import peers
from tools.peers import PEERS

TEMPLATES = "prometheus/alertmanager/default.tmpl"


def alertmanager_command():
    """(program, arguments before its own) that run it here; skips by name where nothing can."""
    program = peers.peer("alertmanager")
    if Path("/usr/share", TEMPLATES).exists():
        return program, ()
    shared = PEERS / "usr" / "share"
    unshare = shutil.which("unshare")
    if unshare is None or not (shared / TEMPLATES).exists() or not _may_mount(unshare):
        peers.skip("Alertmanager is not installed, and there are no mount namespaces here")
    mount = 'mount --bind "$0" /usr/share && exec "$@"'
    return Path(unshare), ("-rm", "sh", "-c", mount, shared, program)


def _may_mount(unshare):
    done = subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True)
    return done.returncode == 0
