"""Where an account is found, in which order, and how one that is kept is encrypted, moved and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.account.people import ALICE, ALICE_SEED, ED25519, PHRASE, SR25519, TOKEN, bash_file, old_file, on_disk
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import account, git
from tfgrid_compose.observe.redact import PROCESS, Secret
from tfgrid_compose.state import check, paths
from tfgrid_compose.state.store import Store

# Where an account is found


def test_nobody(home: Path) -> None:
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-missing" and "signin --network main" in caught.value.fix
    assert not (paths.state_dir() / "state.db").exists(), "to look for an account makes no database"


def test_the_order_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    old_file(PHRASE)
    seen.append(account.signed_in("test").origin)
    bash_file({"threefold": {"mnemonic": PHRASE}})
    seen.append(account.signed_in("test").origin)
    with Store() as store:
        account.keep(store, account.Signed("test", "ed25519", Secret(PHRASE)))
    kept = account.signed_in("test")
    assert (kept.address, kept.key_type, kept.advice) == (ED25519, "ed25519", "")
    seen.append(kept.origin)
    monkeypatch.setenv("MNEMONIC", PHRASE)
    seen.append(account.signed_in("test").origin)
    monkeypatch.setenv("TF_VAR_mnemonic", PHRASE)
    seen.append(account.signed_in("test").origin)
    assert [Path(item).name for item in seen[:2]] == ["mnemonic", "credentials.yaml"]
    assert seen[2:] == ["signin", "the variable MNEMONIC", "the variable TF_VAR_mnemonic"]


def test_a_file_of_the_current_folder_chooses_no_account() -> None:
    """The folder may be an app of somebody else, who would choose which account pays; the file is not even opened."""
    Path(".tfgrid-mnemonic").write_text(PHRASE)
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-missing"
    assert "`.tfgrid-mnemonic` of the current folder counts only when you name it" in caught.value.why
    assert "tfgrid-compose signin --network main --file .tfgrid-mnemonic" in caught.value.fix


def test_a_file_of_the_current_folder_overrules_nothing_and_breaks_nothing() -> None:
    old_file(PHRASE)
    Path(".tfgrid-mnemonic").symlink_to("/proc/self/mem")
    assert account.signed_in("main").address == SR25519


def test_one_network_does_not_lend_its_account_to_another() -> None:
    with Store() as store:
        account.keep(store, account.Signed("test", "sr25519", Secret(PHRASE)))
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-missing"
    assert account.networks() == ["test"]


def test_what_is_found_is_known_as_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMONIC", PHRASE.upper())
    account.signed_in("main")
    assert PHRASE not in PROCESS.text(f"x {PHRASE} y")
    assert PHRASE.upper() not in PROCESS.text(f"x {PHRASE.upper()} y")


def test_a_word_about_moving() -> None:
    path = old_file(PHRASE)
    assert account.signed_in("qa").advice == (
        f"The mnemonic stands in {path}, in plain text. `tfgrid-compose signin --network qa --file {path}` keeps it encrypted."
    )
    path.chmod(0o644)
    assert "other users of this computer can read it" in account.signed_in("qa").advice


def test_the_environment_chooses_the_key_type_of_what_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMONIC", PHRASE)
    assert account.signed_in("main").address == SR25519
    monkeypatch.setenv("KEY_TYPE", "ed25519")
    assert account.signed_in("main").address == ED25519
    monkeypatch.setenv("KEY_TYPE", "rsa")
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "key-type-unknown"


@pytest.mark.parametrize(
    "data",
    [
        b"threefold: [unclosed, " + PHRASE.encode(),
        b"- a\n- list\n",
        b"\xff\xfe\x00",
        b"x" * 70_000,
        b"a: &a [*a, *a\n",
        b"[" * 3000,
    ],
)
def test_a_damaged_file_of_the_bash_tool(data: bytes) -> None:
    bash_file(data)
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    error = caught.value
    assert error.code == "account-unreadable"
    assert "lonely" not in str(error.to_dict()) and error.__cause__ is None


@pytest.mark.parametrize(
    "data", [{}, {"threefold": None}, {"threefold": {"mnemonic": ""}}, {"threefold": "x"}, {"threefold": {"mnemonic": 7}}]
)
def test_a_file_of_the_bash_tool_without_a_mnemonic(data: Any) -> None:
    bash_file(data)
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-missing"


def test_a_mnemonic_file_that_is_a_folder() -> None:
    (Path.home() / ".config" / "threefold" / "mnemonic").mkdir(parents=True)
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-unreadable"


def test_a_wrong_mnemonic_says_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_mnemonic", "one two")
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert "TF_VAR_mnemonic" in caught.value.what


# Kept as all secrets are


def test_what_is_kept_is_encrypted_and_no_stray() -> None:
    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        git.keep(store, git.Server("forge.example.com", "forgejo", "ada", Secret(TOKEN)))
        assert store.secret_problems() == []
        assert check.look_into(store) == []
    found = on_disk()
    assert b"lonely" not in found and TOKEN.encode() not in found


def test_accounts_survive_rotation_backup_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.state import package, rotation, transfer

    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        rotation.rotate(store)
        assert account.kept_in(store, "main") is not None
        data = transfer.export(store, "correct horse")
    assert b"lonely" not in data
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    transfer.take_in(package.opened(data, "correct horse"), lambda network: network == "local")
    assert account.signed_in("main").address == SR25519
    with Store() as store:
        assert check.look_into(store) == []


def test_an_import_does_not_replace_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.state import package, transfer

    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        account.keep(store, account.Signed("test", "sr25519", Secret(PHRASE)))
        data = transfer.export(store, "correct horse")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(ALICE_SEED)))
    transfer.take_in(package.opened(data, "correct horse"), lambda network: network == "local")
    assert account.signed_in("main").address == ALICE
    assert account.signed_in("test").address == SR25519


def test_a_secret_that_was_exchanged_is_noticed() -> None:
    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        with store.write() as db:
            db.execute("DELETE FROM secrets WHERE deployment = ?", (account.OWNER,))
            db.execute("DELETE FROM seals WHERE deployment = ?", (account.OWNER,))
    with Store() as store:
        assert [error.code for error in store.secret_problems()] == ["secret-damaged"]
