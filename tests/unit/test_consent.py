"""Nothing is rented, destroyed, or run on this computer by others, without a yes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.workbench import Bench, Call
from tfgrid_compose.errors import UsageError
from tfgrid_compose.patterns.load import load_folder
from tfgrid_compose.state import paths

PLAYBOOK = "- hosts: localhost\n  tasks: [{ansible.builtin.command: id}]\n"
UP = ("up", "app", "--network", "main", "--node", "7")


@pytest.fixture
def here(bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(bench.folder.parent)
    return call


def test_a_script_buys_nothing_without_a_yes(bench: Bench, here: Call) -> None:
    for more in ((), ("--json",)):
        code, _, err = here(*UP, *more)
        assert code == 2 and "--yes" in err and "machines are rented or changed" in err
    assert not bench.grid.live and not bench.store.deployments()
    assert here(*UP, "--yes")[0] == 0
    assert bench.grid.live


def test_a_script_may_ship_a_change_that_rents_nothing(bench: Bench, here: Call) -> None:
    assert here(*UP, "--yes")[0] == 0
    bench.write("src/page", "new")
    assert here(*UP)[0] == 0
    assert bench.machine.read("src/page") == "new"


def test_more_memory_needs_a_yes_again(bench: Bench, here: Call) -> None:
    assert here(*UP, "--yes")[0] == 0
    code, _, err = here(*UP, "--memory", "8G")
    assert code == 2 and "--yes" in err


@pytest.mark.parametrize("more", [(), ("--json",), ("--forget",)])
def test_a_script_destroys_nothing_without_a_yes(bench: Bench, here: Call, more: tuple[str, ...]) -> None:
    bench.up()
    code, _, err = here("down", "my-app", *more)
    assert code == 2 and "needs a yes" in err
    assert bench.grid.live and bench.deployment.status == "running"


def test_data_is_not_replaced_without_a_yes(bench: Bench, here: Call) -> None:
    bench.grid.can_snapshot = True
    for text in ("one", "two"):
        bench.write("src/page", text)
        bench.grid.data = f"before {text}"
        bench.up()
    bench.grid.data = "now"
    code, _, err = here("rollback", "my-app", "--with-data")
    assert code == 2 and "the data on the disks is replaced" in err
    assert bench.grid.data == "now"
    assert here("rollback", "my-app")[0] == 0, "without data nothing is lost"


# Code of others on this computer


def test_a_playbook_of_the_app_runs_here_only_when_somebody_agreed(bench: Bench, here: Call) -> None:
    bench.write("deployment/playbook.yml", PLAYBOOK)
    shown = json.loads(here("plan", "app", "--network", "main", "--node", "7", "--json")[1].splitlines()[-1])
    who = "root" if os.geteuid() == 0 else "you"
    assert shown["runs_here"] == [f"deployment/playbook.yml of my-app: Ansible runs it on this computer, as {who}"]
    assert "Runs here: deployment/playbook.yml" in here("plan", "app", "--network", "main", "--node", "7")[1]
    code, _, err = here(*UP, "--yes")
    assert code == 2 and "deployment/playbook.yml" in err and "--trust" in err
    assert not bench.grid.live and bench.playbooks == []
    assert here(*UP, "--yes", "--trust")[0] == 0
    assert bench.playbooks == ["site.yml", "playbook.yml"]


def test_what_was_agreed_to_is_not_asked_for_again_until_it_changes(bench: Bench, here: Call) -> None:
    bench.write("deployment/playbook.yml", PLAYBOOK)
    assert here(*UP, "--yes", "--trust")[0] == 0
    bench.write("src/page", "new")
    assert here(*UP, "--yes")[0] == 0
    bench.write("deployment/filter_plugins/evil.py", "import os")
    assert here(*UP, "--yes")[0] == 2
    assert here(*UP, "--yes", "--trust")[0] == 0


def test_a_playbook_that_takes_in_files_from_beside_its_folder_is_agreed_to_with_them(bench: Bench, here: Call) -> None:
    bench.write("deployment/playbook.yml", PLAYBOOK.replace("tasks:", "vars_files: [../src/values.yml]\n  tasks:"))
    bench.write("src/values.yml", "a: 1")
    assert here(*UP, "--yes", "--trust")[0] == 0
    assert here(*UP, "--yes")[0] == 0
    bench.write("src/values.yml", "a: \"{{ lookup('pipe', 'id') }}\"")
    assert here(*UP, "--yes")[0] == 2
    assert here(*UP, "--yes", "--trust")[0] == 0


def test_the_core_runs_no_playbook_of_others_by_itself(bench: Bench) -> None:
    bench.write("deployment/playbook.yml", PLAYBOOK)
    with pytest.raises(UsageError) as caught:
        bench.up()
    assert caught.value.code == "code-not-agreed" and bench.playbooks == []


def test_going_back_to_a_release_asks_nobody_again(bench: Bench) -> None:
    for text in ("one", "two"):
        bench.write("deployment/playbook.yml", f"# {text}\n{PLAYBOOK}")
        bench.up(trust=True)
    bench.rollback()
    assert bench.playbooks[-1] == "playbook.yml"


def test_a_pattern_of_others_runs_here_only_when_somebody_agreed(bench: Bench, here: Call, home: Path) -> None:
    import shutil

    from tfgrid_compose.patterns.load import BUILTIN

    folder = paths.config_dir() / "patterns" / "single-vm"
    shutil.copytree(BUILTIN / "single-vm", folder)
    assert here(*UP[:1], "app", "--plan", *UP[2:])[1].count("Runs here") == 0, "the same as ours is ours"
    (folder / "infrastructure" / "more.tf").write_text("# of somebody else\n")
    assert load_folder(folder).folder == folder
    code, _, err = here(*UP, "--yes")
    assert code == 2 and "pattern single-vm in" in err and "--trust" in err
    assert not bench.grid.live
    assert here(*UP, "--yes", "--trust")[0] == 0


def test_what_was_agreed_to_elsewhere_is_not_agreed_to_here(bench: Bench, home: Path, tmp_path: Path) -> None:
    from tfgrid_compose.state import package, transfer
    from tfgrid_compose.state.store import Store

    bench.write("deployment/playbook.yml", PLAYBOOK)
    bench.up(trust=True)
    assert bench.deployment.data["agreed_code"]
    found = package.opened(transfer.export(bench.store, "a long passphrase for this"), "a long passphrase for this")
    db = tmp_path / "state.db"
    db.write_bytes(found.database)
    with Store(db) as store:
        assert store.deployments()[0].data["agreed_code"] == []


def test_a_release_that_came_from_elsewhere_runs_nothing_here_without_a_yes(bench: Bench, here: Call) -> None:
    for text in ("one", "two"):
        bench.write("deployment/playbook.yml", f"# {text}\n{PLAYBOOK}")
        bench.up(trust=True)
    bench.store.save(bench.deployment.with_data(agreed_code=[]))
    bench.playbooks.clear()
    code, _, err = here("rollback", "my-app", "--yes")
    assert code == 2 and "--trust" in err and bench.playbooks == []
    assert here("rollback", "my-app", "--yes", "--trust")[0] == 0


def test_a_digest_of_code_is_of_all_that_may_run(tmp_path: Path) -> None:
    from tfgrid_compose.deploy.trust import digest_of

    seen = set()
    for files in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "__pycache__/a.pyc": "x"}, {"a": "1", "b": ""}, {"a\n'b": "1"}):
        folder = tmp_path / f"{len(seen)}" / "__pycache__"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        seen.add(digest_of(folder))
    assert len(seen) == 6
