"""Encryption at rest: bound to owner and name, refused when anything was changed; and where the keys are."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, keys, paths
from tfgrid_compose.state.anchor import Anchor
from tfgrid_compose.state.keys import KeyFile
from tfgrid_compose.state.vault import Vault

SECRET = b"correct horse battery staple"
PASSPHRASE = "four words make one"


@pytest.fixture
def vault(home: Path) -> Vault:
    return Vault()


def first_key() -> bytes:
    """A key file as version 1 wrote it."""
    key = bytes(range(32))
    paths.private_file(paths.state_dir() / "key", key)
    return key


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that cost nothing to stretch, and are forgotten after the test."""
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE", raising=False)


class Memory(keyring.backend.KeyringBackend):
    """A keyring that lives as long as the test."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def desktop() -> Iterator[Memory]:
    before, found = keyring.get_keyring(), Memory()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Somebody at a terminal who types these answers, in this order; returns the questions."""

    def give(*answers: str | None) -> list[str]:
        left, asked = list(answers), list[str]()

        def answer(question: str) -> str | None:
            asked.append(question)
            return left.pop(0)

        monkeypatch.setattr(keys, "ask_hidden", answer)
        return asked

    return give


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
    assert json.loads(key.read_bytes())["version"] == 2
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


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"x" * 33, b"[]", b'{"version": 3, "source": "file"}', b'{"version": 2, "source": "moon", "keys": {}}',
     b'{"version": 2, "source": "file"}', b'{"version": 2, "source": "file", "keys": {"ring": [], "fingerprint": ""}}',
     b'{"version": 2, "source": "file", "keys": {"ring": ["AAAA"], "fingerprint": "AAAA"}}',
     b'{"version": 2, "source": "passphrase", "wrapped": {"salt": "AA==", "cost": 1099511627776, "sealed": "AA=="}}'],
)  # fmt: skip
def test_a_damaged_key_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(StateError, match="is damaged") as caught:
        Vault(file).encrypt(SECRET)
    assert caught.value.code == "key-damaged"
    assert file.read_bytes() == content


def test_a_key_that_can_not_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="can't be (written|trusted)"):
        Vault(tmp_path / "file" / "sub" / "key").encrypt(SECRET)


def test_a_key_that_another_process_made_first_is_used(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = Vault().encrypt(SECRET, "a")
    # The file appears between the look and the attempt to make it.
    real, looks = KeyFile.signature, [None]
    monkeypatch.setattr(KeyFile, "signature", lambda self: looks.pop() if looks else real(self))
    vault.encrypt(b"y")
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


def test_a_value_says_which_key_it_needs_and_another_one_is_told_apart_from_damage(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.encrypt(SECRET, "a")
    other = Vault(tmp_path / "other" / "key")
    other.encrypt(b"x")
    with pytest.raises(StateError, match="belong to another key") as caught:
        other.decrypt(sealed, "a")
    assert caught.value.code == "key-wrong"


def test_a_key_that_is_missing_is_not_made_anew_while_secrets_need_it(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, "a")
    (paths.state_dir() / "key").unlink()
    vault.in_use = lambda: True
    for use in (lambda: vault.decrypt(sealed, "a"), lambda: vault.encrypt(SECRET), lambda: vault.fingerprint(SECRET)):
        with pytest.raises(StateError, match="is missing") as caught:
            use()
        assert caught.value.code == "key-missing"
    assert not (paths.state_dir() / "key").exists()
    vault.in_use = lambda: False
    assert vault.encrypt(SECRET)


# Version 1


def test_what_version_1_encrypted_is_read_and_its_fingerprints_stay(home: Path) -> None:
    key = first_key()
    sealed = b"n" * 12 + AESGCM(key).encrypt(b"n" * 12, SECRET, b"d\0name")
    vault = Vault()
    assert vault.decrypt_first(sealed, "d", "name") == SECRET
    assert vault.fingerprint(SECRET) == hmac.new(key, SECRET, hashlib.sha256).hexdigest()[:16]
    assert vault.decrypt(vault.encrypt(SECRET, "d"), "d") == SECRET
    assert vault.decrypt_first(vault.encrypt_first(SECRET, "d"), "d") == SECRET
    assert (paths.state_dir() / "key").read_bytes() == key
    for names in (("d", "other"), ("e", "name")):
        with pytest.raises(StateError) as caught:
            vault.decrypt_first(sealed, *names)
        assert caught.value.code == "secret-damaged"


@pytest.mark.parametrize("first", [True, False])
def test_a_rotation_keeps_fingerprints_and_what_the_old_key_encrypted(vault: Vault, first: bool) -> None:
    if first:
        first_key()
    sealed, old, print_before = vault.encrypt(SECRET, "a"), vault.encrypt_first(SECRET, "a"), vault.fingerprint(SECRET)
    vault.file.write(vault.keys().begun())
    fresh = vault.encrypt(SECRET, "a")
    assert (vault.is_current(sealed), vault.is_current(fresh)) == (False, True)
    for reader in (vault, Vault()):
        assert reader.decrypt(sealed, "a") == reader.decrypt(fresh, "a") == reader.decrypt_first(old, "a") == SECRET
    vault.file.write(vault.keys().ended())
    assert Vault().decrypt(fresh, "a") == SECRET
    assert Vault().fingerprint(SECRET) == print_before
    with pytest.raises(StateError, match="another key"):
        Vault().decrypt(sealed, "a")
    with pytest.raises(StateError):
        Vault().decrypt_first(old, "a")


def test_a_rotation_in_another_process_is_seen_at_once(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, "a")
    other = Vault()
    other.file.write(other.keys().begun())
    assert other.is_current(vault.encrypt(SECRET, "a"))
    assert vault.decrypt(sealed, "a") == SECRET


def test_a_code_fits_only_its_purpose_data_and_key(vault: Vault, tmp_path: Path) -> None:
    code = vault.code("seals", SECRET)
    assert vault.fits("seals", SECRET, code)
    assert not vault.fits("other", SECRET, code)
    assert not vault.fits("seals", SECRET + b"!", code)
    assert not vault.fits("seals", SECRET, code[:-1])
    assert not vault.fits("seals", SECRET, code[:-1] + bytes([code[-1] ^ 1]))
    other = Vault(tmp_path / "other" / "key")
    other.encrypt(b"x")
    with pytest.raises(StateError, match="another key"):
        other.fits("seals", SECRET, code)


# Passphrase


@pytest.mark.usefixtures("quick")
def test_a_passphrase_opens_the_keys_and_nothing_of_them_stays_in_the_file(
    vault: Vault, typed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed, before = vault.encrypt(SECRET, "a"), (paths.state_dir() / "key").read_text()
    vault.file.write(vault.keys(), keys.PASSPHRASE, PASSPHRASE)
    text = (paths.state_dir() / "key").read_text()
    assert json.loads(before)["keys"]["ring"][0] not in text
    assert PASSPHRASE not in text
    assert (vault.file.source(), vault.file.asks()) == ("passphrase", False)
    asked = typed()
    assert Vault().decrypt(sealed, "a") == SECRET, "this process knows the passphrase already"
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    assert vault.file.asks()
    asked = typed("wrong", PASSPHRASE)
    assert Vault().decrypt(sealed, "a") == SECRET
    assert len(asked) == 2
    assert Vault().decrypt(sealed, "a") == SECRET
    assert len(asked) == 2, "nobody is asked twice"


@pytest.mark.usefixtures("quick")
def test_a_wrong_passphrase_is_an_error_after_three_tries(
    vault: Vault, typed: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file.write(vault.keys(make=True), keys.PASSPHRASE, PASSPHRASE)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    typed("wrong-1", "wrong-2", "wrong-3")
    with pytest.raises(StateError, match="does not open") as caught:
        Vault().keys()
    assert caught.value.code == "passphrase-wrong"
    assert "wrong-" not in str(caught.value.to_dict())
    typed(None)
    with pytest.raises(StateError, match="is needed") as caught:
        Vault().keys()
    assert caught.value.code == "passphrase-needed"


@pytest.mark.usefixtures("quick")
def test_a_file_may_hold_the_passphrase(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sealed = vault.encrypt(SECRET, "a")
    vault.file.write(vault.keys(), keys.PASSPHRASE, PASSPHRASE)
    for content, code in ((f"{PASSPHRASE}\nmore\n", ""), ("other", "passphrase-wrong"), ("", "passphrase-needed")):
        monkeypatch.setattr(keys, "_PASSPHRASES", {})
        (tmp_path / "pass").write_text(content)
        monkeypatch.setenv("TFGRID_PASSPHRASE_FILE", str(tmp_path / "pass"))
        assert not vault.file.asks()
        if not code:
            assert Vault().decrypt(sealed, "a") == SECRET
            continue
        with pytest.raises(StateError) as caught:
            Vault().decrypt(sealed, "a")
        assert caught.value.code == code
    monkeypatch.setenv("TFGRID_PASSPHRASE_FILE", str(tmp_path / "missing"))
    with pytest.raises(StateError, match="can't be read"):
        Vault().decrypt(sealed, "a")


@pytest.mark.usefixtures("quick")
def test_a_rotation_keeps_the_passphrase(vault: Vault, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., list[str]]) -> None:
    vault.file.write(vault.keys(make=True), keys.PASSPHRASE, PASSPHRASE)
    vault.file.write(vault.keys().begun())
    sealed = vault.encrypt(SECRET, "a")
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    typed(PASSPHRASE)
    assert Vault().decrypt(sealed, "a") == SECRET


def test_stretching_a_passphrase_costs_an_attacker_something() -> None:
    assert keys._COST >= 2**16


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(*_: object) -> int:
        raise OSError("no such device")

    monkeypatch.setattr(os, "open", no_terminal)
    assert keys.ask_hidden("Passphrase: ") is None


# Keyring


def test_the_keyring_holds_the_keys_and_the_file_only_says_so(vault: Vault, desktop: Memory) -> None:
    sealed, before = vault.encrypt(SECRET, "a"), (paths.state_dir() / "key").read_text()
    vault.file.write(vault.keys(), keys.KEYRING)
    text = (paths.state_dir() / "key").read_text()
    assert json.loads(before)["keys"]["ring"][0] not in text
    assert (vault.file.source(), len(desktop.entries)) == ("keyring", 1)
    assert Vault().decrypt(sealed, "a") == SECRET
    first = set(desktop.entries)
    vault.file.write(vault.keys().begun())
    assert len(desktop.entries) == 1 and set(desktop.entries) != first, "a new entry each time, and only one"
    assert Vault().decrypt(sealed, "a") == SECRET
    vault.file.write(vault.keys(), keys.FILE)
    assert not desktop.entries
    assert Vault().decrypt(sealed, "a") == SECRET


def test_a_keyring_that_fails_leaves_the_key_where_it_was(vault: Vault, desktop: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = vault.encrypt(SECRET, "a")

    def locked(*_: object) -> None:
        raise RuntimeError("locked")

    for name, lie in (("set_password", locked), ("get_password", lambda *_: "another"), ("get_password", locked)):
        with monkeypatch.context() as patch:
            patch.setattr(desktop, name, lie)
            with pytest.raises(StateError, match="keyring can't be used") as caught:
                vault.file.write(vault.keys(), keys.KEYRING)
        assert caught.value.code == "keyring-unavailable"
        assert Vault().decrypt(sealed, "a") == SECRET
    assert vault.file.source() == "file"


def test_an_entry_that_is_gone_and_a_locked_keyring_are_told(
    vault: Vault, desktop: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = vault.encrypt(SECRET, "a")
    vault.file.write(vault.keys(), keys.KEYRING)
    desktop.entries.clear()
    with pytest.raises(StateError, match="does not hold the key") as caught:
        Vault().decrypt(sealed, "a")
    assert caught.value.code == "key-missing"
    monkeypatch.setattr(desktop, "get_password", lambda *_: 1 / 0)
    with pytest.raises(StateError, match="can't be used"):
        Vault().decrypt(sealed, "a")


@pytest.mark.skipif(os.geteuid() != 0, reason="as it is under sudo")
def test_under_sudo_the_keyring_is_out_of_reach_and_the_error_says_so(
    vault: Vault, desktop: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.file.write(vault.keys(make=True), keys.KEYRING)
    monkeypatch.setenv("TFGRID_SUDO_UID", "1000")
    monkeypatch.setattr(desktop, "get_password", lambda *_: 1 / 0)
    with pytest.raises(StateError) as caught:
        Vault().keys()
    assert "root can't reach the keyring of a user" in caught.value.why


def test_without_the_library_or_a_keyring_the_error_names_what_helps(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        with pytest.raises(StateError) as caught:
            vault.file.write(vault.keys(make=True), keys.KEYRING)
    finally:
        keyring.set_keyring(before)
    assert "there is none in this session" in caught.value.why
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(StateError) as caught:
        vault.file.write(vault.keys(), keys.KEYRING)
    assert "tfgrid-compose[keyring]" in caught.value.fix


# Anchor


def test_the_anchor_remembers_and_never_goes_back(vault: Vault) -> None:
    assert anchor.read(vault) is None
    anchor.write(vault, generation=3)
    anchor.write(vault, audit=(7, "hash"))
    assert anchor.read(vault) == Anchor(3, (7, "hash"))
    anchor.write(vault, generation=2, audit=(6, "older"))
    assert anchor.read(Vault()) == Anchor(3, (7, "hash"))
    anchor.write(vault, audit=(7, "other"))
    assert anchor.read(vault) == Anchor(3, (7, "other"))
    anchor.write(vault, generation=1, anew=True)
    assert anchor.read(vault) == Anchor(1, (0, ""))
    assert (paths.state_dir() / "anchor").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change", [lambda raw: raw.replace(b'"generation": 3', b'"generation": 9'), lambda raw: b"", lambda raw: raw[:80],
               lambda raw: b"zz" + raw, lambda raw: b"\xff" * 100]
)  # fmt: skip
def test_an_anchor_that_was_changed_is_none(vault: Vault, change: Callable[[bytes], bytes]) -> None:
    anchor.write(vault, generation=3)
    path = paths.state_dir() / "anchor"
    path.write_bytes(change(path.read_bytes()))
    assert anchor.read(vault) is None


def test_an_anchor_of_another_key_is_none_and_one_of_a_key_that_is_replaced_still_counts(vault: Vault) -> None:
    anchor.write(vault, generation=3)
    vault.file.write(vault.keys().begun())
    assert anchor.read(vault) == Anchor(3)
    vault.file.write(vault.keys().ended())
    assert anchor.read(vault) is None
    (paths.state_dir() / "key").unlink()
    assert anchor.read(Vault()) is None
