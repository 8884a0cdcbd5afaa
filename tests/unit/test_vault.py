"""Encryption at rest: bound to owner and name, refused when anything was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.vault import Vault

SECRET = b"correct horse battery staple"


@pytest.fixture
def vault(home: Path) -> Vault:
    return Vault()


def test_what_was_encrypted_comes_back(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, "deployment", "name")
    assert SECRET not in sealed
    assert vault.decrypt(sealed, "deployment", "name") == SECRET


def test_the_same_secret_never_looks_the_same_twice(vault: Vault) -> None:
    assert vault.encrypt(SECRET, "a") != vault.encrypt(SECRET, "a")


def test_the_key_is_made_once_and_is_private(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, "a")
    key = paths.state_dir() / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert Vault().decrypt(sealed, "a") == SECRET


@pytest.mark.parametrize("names", [("d", "other"), ("other", "n"), ("n", "d"), ("d",), ("d", "n", ""), ("dn",)])
def test_a_value_moved_to_another_owner_or_name_does_not_decrypt(vault: Vault, names: tuple[str, ...]) -> None:
    sealed = vault.encrypt(SECRET, "d", "n")
    with pytest.raises(StateError) as caught:
        vault.decrypt(sealed, *names)
    assert caught.value.code == "secret-damaged"
    assert SECRET.decode() not in str(caught.value.to_dict())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_noticed(vault: Vault, data: bytes, position: int, change: int) -> None:
    sealed = bytearray(vault.encrypt(data, "a"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(StateError):
        vault.decrypt(bytes(sealed), "a")


def test_another_key_does_not_decrypt(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.encrypt(SECRET, "a")
    with pytest.raises(StateError):
        Vault(tmp_path / "other" / "key").decrypt(sealed, "a")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(StateError, match="is damaged") as caught:
        Vault(file).encrypt(SECRET)
    assert caught.value.code == "key-damaged"
    assert file.read_bytes() == content


def test_a_key_that_can_not_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be written"):
        Vault(tmp_path / "file" / "sub" / "key").encrypt(SECRET)


def test_a_key_that_another_process_made_first_is_used(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = Vault().encrypt(SECRET, "a")
    # The file appears between the look and the attempt to make it.
    monkeypatch.setattr(Path, "exists", lambda self: self.is_dir())
    assert vault.decrypt(sealed, "a") == SECRET


def test_a_fingerprint_tells_change_and_nothing_else(vault: Vault, tmp_path: Path) -> None:
    assert vault.fingerprint(SECRET) == Vault().fingerprint(SECRET)
    assert vault.fingerprint(SECRET) != vault.fingerprint(SECRET + b"!")
    assert vault.fingerprint(SECRET) != Vault(tmp_path / "other").fingerprint(SECRET)
    assert len(vault.fingerprint(SECRET)) == 16


def test_a_value_cut_short_is_damaged_too(vault: Vault) -> None:
    with pytest.raises(StateError):
        vault.decrypt(vault.encrypt(SECRET, "a")[:4], "a")


def test_a_key_is_made_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    made = [Vault(tmp_path / "v" / "key") for _ in range(2)]
    assert made[0].decrypt(made[1].encrypt(b"x", "a"), "a") == b"x"
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["key"]
    assert (tmp_path / "v" / "key").stat().st_mode & 0o777 == 0o600
