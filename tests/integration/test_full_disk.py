"""A disk that is really full: a small one of its own, in a mount namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting needs root")

_SCRIPT = """
import errno, os, sys
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, lease, paths, reserve
from tfgrid_compose.state.store import Deployment, Store

with Store() as store:
    item = store.save(Deployment("0123456789abcdef", "my-app", "main", "running", 1.0, 1.0, {}))
    store.set_secret(item.id, "ssh", b"x")
reserve.keep()
assert (paths.state_dir() / "reserve").stat().st_size == reserve.SIZE
with open(os.path.join(sys.argv[1], "filler"), "wb", buffering=0) as file:
    for size in (65536, 4096):
        try:
            while True:
                file.write(bytes(size))
        except OSError as error:
            assert error.errno == errno.ENOSPC
assert paths.is_full(paths.state_dir())
for way in (lambda: Store(), lambda: paths.private_file(paths.state_dir() / "x", b"y"), lambda: reserve.keep() or Store()):
    try:
        with way() as store:
            store.save(item)
        raise SystemExit("nothing was refused")
    except StateError as error:
        assert error.code == "disk-full", (error.code, error.what, error.why)
        assert "free some disk space" in error.fix
reserve.give_back()
with lease.hold("main--my-app"), Store() as store:
    store.take_fence("main--my-app")
    run = store.start_run(item, "down")
    store.append_audit(action="down", deployment=item.id)
    store.forget(item.id, run)
    assert store.deployments() == [] and store.verify_audit() is None
reserve.keep()
print("done")
"""


def test_a_full_disk_is_called_so_and_what_costs_money_can_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_SCRIPT)
    disk = tmp_path / "disk"
    disk.mkdir()
    line = f"mount -t tmpfs -o size=8m none {disk} && exec {sys.executable} {tmp_path}/script.py {disk}"
    env = {**os.environ, "XDG_STATE_HOME": str(disk), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", line], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
