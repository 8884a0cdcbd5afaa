"""Programs that we start."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import tfgrid_compose
from tfgrid_compose.drivers.process import python_module

SOURCE = Path(tfgrid_compose.__file__).parent


@pytest.mark.parametrize("module", ["tfgrid_compose", "ansible", "pip"])
def test_no_python_that_we_start_takes_a_module_from_the_current_folder(module: str, tmp_path: Path) -> None:
    for name in ("ansible", "pip", "tfgrid_compose", "json", "typing", "click", "yaml"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    words = ["playbook"] if module == "ansible" else []
    done = subprocess.run([*python_module(module), *words, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.returncode == 0, done.stderr


def test_a_python_is_started_in_one_way_only() -> None:
    starts = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"sys\.executable.*(\"-m\"|\"-c\")", line)
    ]
    assert starts == ['drivers/process.py: return [sys.executable, "-P", "-m", name]']
