"""Accounts: words and keys, where they are found, how they are kept; `signin`, `signout`, `whoami`; git servers."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.fakes.chain import FakeChain
from tfgrid_compose.cli.account import signin, signout, whoami
from tfgrid_compose.errors import GridError, InterruptedError_, NotFoundError, TfgridError, UsageError
from tfgrid_compose.grids import account, git, keys, oldplaces
from tfgrid_compose.observe.redact import PROCESS, Redactor, Secret
from tfgrid_compose.state import check, paths, settings
from tfgrid_compose.state.store import Store

# The development phrase of Substrate and its addresses, which everybody knows.
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
SR25519 = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
ED25519 = "5DFJF7tY4bpbpcKPJcBTQaKuCDEPCpiz8TRjpmLeTtweqmXL"
ALICE_SEED = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
OTHER = "abandon " * 11 + "about"
TOKEN = "tok-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path) -> None:
    """Each test knows only its own secrets and places."""
    monkeypatch.setattr(PROCESS, "_known", {})
    monkeypatch.setattr(PROCESS, "_encoded", Redactor()._encoded)
    for name in ("TF_VAR_mnemonic", "MNEMONIC", "KEY_TYPE"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def chain(home: Path) -> Iterator[FakeChain]:
    """The chain of every network."""
    with FakeChain() as fake:
        rows = {name: {"chain": [fake.url]} for name in ("main", "test", "dev")}
        rows["qa"] = {"chain": ["ws://127.0.0.1:1"]}
        paths.private_file(settings.path(), yaml.safe_dump({"networks": rows}).encode())
        yield fake


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True), exit=sys.exit)
    for module in ("account", "common", "gitaccount"):
        monkeypatch.setattr(f"tfgrid_compose.cli.{module}.sys", fake)


def run(command: click.Command, *words: str, input: str = "") -> Result:
    """The command's outcome; no secret stands in its output or on the disk, whatever happened."""
    done = CliRunner().invoke(command, list(words), input=input)
    if isinstance(done.exception, TfgridError):
        text = PROCESS.text(json.dumps(done.exception.to_dict(), ensure_ascii=False))
    else:
        text = ""
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    for secret in (PHRASE, OTHER.strip(), TOKEN, ALICE_SEED):
        assert secret not in done.output + text
    return done


def error_of(done: Result, kind: type[TfgridError], code: str) -> TfgridError:
    assert isinstance(done.exception, kind), done.output
    assert done.exception.code == code and done.exception.why and done.exception.fix
    return done.exception


def on_disk(*ignored: Path) -> bytes:
    files = [path for path in Path.home().rglob("*") if path.is_file() and path not in ignored]
    return b"".join(path.read_bytes() for path in files)


def old_file(text: str, mode: int = 0o600) -> Path:
    path = Path.home() / ".config" / "threefold" / "mnemonic"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def bash_file(data: Any) -> Path:
    return paths.private_file(oldplaces.credentials_file(), data if isinstance(data, bytes) else yaml.safe_dump(data).encode())


# Words and keys


def test_the_list_of_words_is_the_standards() -> None:
    """The digest of `english.txt` of BIP-39."""
    raw = Path(keys.__file__).with_name("bip39.txt").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert len(keys.words()) == 2048


@pytest.mark.parametrize(
    ("text", "key_type", "address"),
    [(PHRASE, "sr25519", SR25519), (PHRASE, "ed25519", ED25519), (ALICE_SEED, "sr25519", ALICE)],
)
def test_addresses_of_known_keys(text: str, key_type: str, address: str) -> None:
    assert keys.address(Secret(keys.checked(text)), key_type) == address


@pytest.mark.parametrize("count", keys.COUNTS)
def test_every_length_of_the_standard(count: int) -> None:
    """Entropy of zeros: the first word again and again, and one that holds the checksum."""
    last = {12: "about", 15: "address", 18: "agent", 21: "admit", 24: "art"}[count]
    text = "abandon " * (count - 1) + last
    assert keys.checked(text) == text
    from bip39 import bip39_validate

    assert bip39_validate(text, "en")


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: f"  {text.replace(' ', chr(10))}\n", lambda text: text.replace(" ", "\u3000")]
)
def test_spelling_does_not_matter(change: Callable[[str], str]) -> None:
    assert keys.checked(change(PHRASE)) == PHRASE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("hello", "has 12, 15, 18, 21 or 24 words, but it has 1"),
        (PHRASE + " walk", "but it has 13"),
        (PHRASE.replace("lake", "lakke"), "word 4 of 12 is not in the list of words; exactly one word of the list is near it"),
        (PHRASE.replace("lake", "qqqqqq"), "word 4 of 12 is not in the list of words; no word of the list is near it"),
        (PHRASE.replace("lake", "sto"), "words of the list are near it"),
        (PHRASE.replace("lake", "lakke").replace("fit", "fitt"), "words 4, 11 of 12 are not in the list"),
        (PHRASE.replace("lake", "walk"), "all 12 words are in the list, but they don't belong together"),
        (PHRASE.replace("lake curtain", "curtain lake"), "two are exchanged"),
        ("0x12", "a seed is 0x and 64 hexadecimal digits, but it has 2"),
        (ALICE_SEED[:-1] + "g", "but sign 64 after the 0x is none"),
        (ALICE_SEED + "00", "but it has 66"),
    ],
)
def test_what_is_wrong_is_said_without_a_word_of_it(text: str, why: str) -> None:
    with pytest.raises(GridError) as caught:
        keys.checked(text, "a file")
    error = caught.value
    assert error.code == "mnemonic-invalid" and why in error.why and "in a file" in error.what
    ours = {"a", "is", "it", "or", "hello", "fit"}
    said = set(f"{error.why} {error.fix}".replace(",", " ").split())
    assert not {word for word in text.split() if len(word) > 3} & (said - ours)


def test_a_wrong_mnemonic_is_redacted_too() -> None:
    with pytest.raises(GridError):
        keys.checked(PHRASE + " walk")
    assert "lonely" not in PROCESS.text(f"the provider said: `{PHRASE} walk` is wrong")


# Where an account is found


def test_nobody(home: Path) -> None:
    with pytest.raises(GridError) as caught:
        account.signed_in("main")
    assert caught.value.code == "account-missing" and "signin --network main" in caught.value.fix
    assert not (paths.state_dir() / "state.db").exists(), "to look for an account makes no database"


def test_the_order_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    Path(".tfgrid-mnemonic").write_text(PHRASE)
    seen.append(account.signed_in("test").origin)
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
    assert [Path(item).name for item in seen[:3]] == [".tfgrid-mnemonic", "mnemonic", "credentials.yaml"]
    assert seen[3:] == ["signin", "the variable MNEMONIC", "the variable TF_VAR_mnemonic"]


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
    from tfgrid_compose.state import rotation, transfer

    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        rotation.rotate(store)
        assert account.kept_in(store, "main") is not None
        data = transfer.export(store, "correct horse")
    assert b"lonely" not in data
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    transfer.take_in(transfer.opened(data, "correct horse"), lambda network: network == "local")
    assert account.signed_in("main").address == SR25519
    with Store() as store:
        assert check.look_into(store) == []


def test_an_import_does_not_replace_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.state import transfer

    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(PHRASE)))
        account.keep(store, account.Signed("test", "sr25519", Secret(PHRASE)))
        data = transfer.export(store, "correct horse")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with Store() as store:
        account.keep(store, account.Signed("main", "sr25519", Secret(ALICE_SEED)))
    transfer.take_in(transfer.opened(data, "correct horse"), lambda network: network == "local")
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


# signin


def test_signing_in(chain: FakeChain) -> None:
    chain.fund(SR25519, tft=55.5)
    chain.add_twin(7, SR25519)
    done = run(signin, "--network", "main", input=PHRASE + "\n")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split() == ["main", SR25519, "sr25519", "7", "55.50", "signin"]
    assert done.stderr == ""
    assert account.signed_in("main").secret == Secret(PHRASE)
    assert b"lonely" not in on_disk()
    with Store() as store:
        assert [entry.facts["action"] for entry in store.audit_entries()][-1:] == ["signin"]


def test_several_networks_at_once(chain: FakeChain) -> None:
    done = run(signin, "--network", "main", "--network", "test", "--json", input=PHRASE)
    assert [row["network"] for row in json.loads(done.stdout)] == ["main", "test"]
    assert account.networks() == ["main", "test"]


def test_an_account_that_can_not_deploy(chain: FakeChain) -> None:
    chain.fund(SR25519, tft=1.5)
    done = run(signin, "--network", "test", input=PHRASE)
    assert done.exit_code == 0
    assert "no twin on network test" in done.stderr and "https://dashboard.test.grid.tf" in done.stderr
    assert f"holds 1.5 TFT, and deploying needs 2: send some to {SR25519}" in done.stderr


def test_the_other_key_type_is_the_one_that_is_known(chain: FakeChain) -> None:
    chain.add_twin(9, ED25519)
    done = run(signin, "--network", "main", input=PHRASE)
    assert "signin --network main --key-type ed25519" in done.stderr


def test_a_chain_that_can_not_be_asked(chain: FakeChain) -> None:
    done = run(signin, "--network", "qa", input=PHRASE)
    assert done.exit_code == 0 and "unknown" in done.stdout
    assert "could not be looked up: the chain of network qa can't be reached" in done.stderr
    assert account.networks() == ["qa"]


def test_no_network_is_taken_silently(chain: FakeChain) -> None:
    error = error_of(run(signin, input=PHRASE), UsageError, "network-needed")
    assert "--network main" in error.fix and account.networks() == []


def test_the_network_is_asked_for(chain: FakeChain, terminal: None) -> None:
    done = run(signin, input=f"test\n{PHRASE}\n")
    assert done.exit_code == 0 and account.networks() == ["test"]


def test_three_attempts(chain: FakeChain, terminal: None) -> None:
    wrong = PHRASE.replace("lake", "lakke")
    done = run(signin, "--network", "main", input=f"{wrong}\n{wrong}\n{PHRASE}\n")
    assert done.exit_code == 0 and done.stderr.count("That does not work: word 4 of 12") == 2
    assert "lakke" not in done.output
    done = run(signin, "--network", "test", input=f"{wrong}\n{wrong}\n{wrong}\n{PHRASE}\n")
    error_of(done, GridError, "mnemonic-invalid")
    assert account.networks() == ["main"]


def test_from_a_file(chain: FakeChain) -> None:
    path = old_file(PHRASE + "\n", 0o644)
    done = run(signin, "--network", "main", "--file", str(path))
    assert done.exit_code == 0 and f"{path} still holds the mnemonic" in done.stderr and "other users" in done.stderr
    path.unlink()
    assert account.signed_in("main").address == SR25519


def test_from_the_bash_tools_file(chain: FakeChain) -> None:
    path = bash_file({"threefold": {"mnemonic": PHRASE}})
    assert run(signin, "--network", "main", "--file", str(path)).exit_code == 0
    assert account.signed_in("main").origin == "signin"


@pytest.mark.parametrize("words", [("--file", "nowhere"), ("--file", ".")])
def test_a_file_that_can_not_be_read(chain: FakeChain, words: tuple[str, ...]) -> None:
    error_of(run(signin, "--network", "main", *words), GridError, "account-unreadable")


def test_file_and_stdin_together(chain: FakeChain) -> None:
    error_of(run(signin, "--network", "main", "--file", "x", "--stdin"), UsageError, "usage")


@pytest.mark.parametrize(
    ("input", "code"), [("", "secret-unusable"), (" \n", "secret-unusable"), ("x" * 70_000, "secret-unusable")]
)
def test_nothing_useful_on_standard_input(chain: FakeChain, input: str, code: str) -> None:
    error_of(run(signin, "--network", "main", "--stdin", input=input), UsageError, code)
    assert account.networks() == []


@pytest.mark.parametrize(
    "words", [(PHRASE,), PHRASE.split(), ("--file", PHRASE), ("--network", "main", ALICE_SEED), (f"--file={PHRASE}",)]
)
def test_a_mnemonic_on_the_command_line_is_refused_and_not_repeated(chain: FakeChain, words: tuple[str, ...]) -> None:
    done = run(signin, *words)
    error = error_of(done, UsageError, "secret-on-command-line")
    assert not {"bottom", "lonely", "curtain"} & set(f"{error.what} {error.why} {error.fix} {done.output}".split())


def test_another_account_is_not_replaced_without_a_yes(chain: FakeChain, monkeypatch: pytest.MonkeyPatch) -> None:
    run(signin, "--network", "main", input=PHRASE)
    error = error_of(run(signin, "--network", "main", input=ALICE_SEED), UsageError, "usage")
    assert SR25519 in error.what and account.signed_in("main").address == SR25519
    assert run(signin, "--network", "main", input=PHRASE).exit_code == 0, "the same one is no replacement"
    assert run(signin, "--network", "main", "--yes", input=ALICE_SEED).exit_code == 0
    assert account.signed_in("main").address == ALICE


def test_the_question_before_another_account_is_replaced(chain: FakeChain, terminal: None) -> None:
    run(signin, "--network", "main", input=f"{PHRASE}\n")
    done = run(signin, "--network", "main", input=f"{ALICE_SEED}\nn\n")
    assert isinstance(done.exception, InterruptedError_) and account.signed_in("main").address == SR25519
    assert run(signin, "--network", "main", input=f"{ALICE_SEED}\ny\n").exit_code == 0
    assert account.signed_in("main").address == ALICE


def test_a_word_when_the_environment_counts_first(chain: FakeChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMONIC", OTHER)
    assert "As long as the variable MNEMONIC is set" in run(signin, "--network", "main", input=PHRASE).stderr


@pytest.mark.parametrize("network", ["local", "mainnet", ""])
def test_networks_without_accounts(chain: FakeChain, network: str) -> None:
    done = CliRunner().invoke(signin, ["--network", network], input=PHRASE)
    assert done.exit_code == 2 and account.networks() == []


# signin --check


def test_check(chain: FakeChain) -> None:
    error_of(run(signin, "--check"), GridError, "account-missing")
    run(signin, "--network", "main", input=PHRASE)
    done = run(signin, "--check")
    assert done.exit_code == 7 and "no twin" in done.stderr
    chain.fund(SR25519, tft=2)
    chain.add_twin(7, SR25519)
    done = run(signin, "--check")
    assert done.exit_code == 0 and "Everything is there." in done.stderr
    done = run(signin, "--check", "--network", "main", "--network", "dev", "--json")
    assert done.exit_code == 7 and "No account for network dev" in done.stderr
    assert [row["network"] for row in json.loads(done.stdout)] == ["main"]


def test_what_could_not_be_looked_at_is_not_called_good(chain: FakeChain) -> None:
    run(signin, "--network", "qa", input=PHRASE)
    assert run(signin, "--check").exit_code == 7


# whoami


def test_whoami(chain: FakeChain) -> None:
    chain.fund(SR25519, tft=3)
    chain.add_twin(7, SR25519)
    run(signin, "--network", "main", "--network", "qa", input=PHRASE)
    done = run(whoami, "--json")
    main, qa = json.loads(done.stdout)["accounts"]
    assert (main["address"], main["twin"], main["tft"], main["from"]) == (SR25519, 7, 3.0, "signin")
    assert (qa["twin"], qa["tft"], qa["looked_up"]) == (None, None, False) and "qa can't be reached" in qa["why_unknown"]
    assert "unknown" in run(whoami).stdout


def test_whoami_of_nobody(chain: FakeChain) -> None:
    error_of(run(whoami), GridError, "account-missing")
    error_of(run(whoami, "--network", "main"), GridError, "account-missing")


def test_whoami_names_an_old_place_and_takes_no_network_silently(chain: FakeChain) -> None:
    path = old_file(PHRASE)
    error = error_of(run(whoami), UsageError, "network-needed")
    assert str(path) in error.why
    done = run(whoami, "--network", "test")
    assert str(path) in done.stdout and f"signin --network test --file {path}" in done.stderr


def test_whoami_knows_the_usual_network(chain: FakeChain) -> None:
    settings.save(settings.load().model_copy(update={"network": "dev"}))
    old_file(PHRASE)
    assert run(whoami).stdout.splitlines()[1].startswith("dev ")


# signout


def test_signing_out(chain: FakeChain) -> None:
    run(signin, "--network", "main", "--network", "test", input=PHRASE)
    error_of(run(signout), UsageError, "usage")
    assert run(signout, "--network", "main", "--yes").exit_code == 0
    assert account.networks() == ["test"]
    assert run(signout, "--yes").exit_code == 0
    assert account.networks() == []
    error_of(run(signout, "--yes"), NotFoundError, "account-not-kept")
    error_of(run(signout, "--network", "dev", "--yes"), NotFoundError, "account-not-kept")
    with Store() as store:
        assert check.look_into(store) == []


def test_the_question_before_signing_out(chain: FakeChain, terminal: None) -> None:
    run(signin, "--network", "main", input=f"{PHRASE}\n")
    done = run(signout, input="n\n")
    assert isinstance(done.exception, InterruptedError_) and account.networks() == ["main"]
    assert run(signout, input="y\n").exit_code == 0 and account.networks() == []


def test_signing_out_names_what_still_runs_there(chain: FakeChain, terminal: None) -> None:
    from tfgrid_compose.state.store import Deployment

    run(signin, "--network", "main", input=f"{PHRASE}\n")
    with Store() as store:
        store.save(Deployment("0123456789abcdef", "my-app", "main", "running", 0.0, 0.0, {}))
    assert "my-app can't be changed or destroyed without it" in run(signout, input="n\n").stderr


def test_without_a_question_it_is_said_what_still_runs_there(chain: FakeChain) -> None:
    from tfgrid_compose.state.store import Deployment

    run(signin, "--network", "main", input=PHRASE)
    with Store() as store:
        store.save(Deployment("0123456789abcdef", "my-app", "main", "running", 0.0, 0.0, {"account": SR25519}))
    assert "can't be changed" not in run(signin, "--network", "main", input=PHRASE).stderr
    told = run(signin, "--network", "main", "--yes", input=ALICE_SEED).stderr
    assert "Warning: my-app can't be changed or destroyed with another one, and goes on to cost." in told
    run(signin, "--network", "main", "--yes", input=PHRASE)
    assert "Warning: my-app can't be changed or destroyed without it" in run(signout, "--yes").stderr
    assert "my-app can't be changed" in run(signin, "--network", "main", input=ALICE_SEED).stderr, "nobody was signed in"


# Git


def test_a_git_server(chain: FakeChain) -> None:
    done = run(signin, "git", "--server", "https://Forge.example.com/", "--username", "ada", input=TOKEN + "\n")
    assert done.exit_code == 0 and "forge.example.com (forgejo)" in done.stdout
    assert TOKEN.encode() not in on_disk()
    assert git.environment() == {
        "GIT_SERVER": "forge.example.com", "GIT_PLATFORM": "forgejo", "GIT_USERNAME": "ada", "GIT_TOKEN": TOKEN,
        "TFGRID_FORGEJO_URL": "https://forge.example.com", "TFGRID_FORGEJO_TOKEN": TOKEN,
    }  # fmt: skip
    assert TOKEN not in PROCESS.text(f"pushed with {TOKEN}")


def test_several_git_servers_and_the_default(chain: FakeChain) -> None:
    run(signin, "git", "--server", "github.com", "--username", "ada", input="github-1")
    run(signin, "git", "--server", "git.example.org", "--platform", "gitea", input="gitea-1")
    found = git.environment()
    assert (found["GIT_SERVER"], found["TFGRID_GITHUB_TOKEN"], found["TFGRID_GITEA_TOKEN"]) == (
        "github.com",
        "github-1",
        "gitea-1",
    )
    run(signin, "git", "--server", "git.example.org", "--platform", "gitea", "--default", input="gitea-2")
    found = git.environment()
    assert (found["GIT_SERVER"], found["GIT_TOKEN"]) == ("git.example.org", "gitea-2")
    assert [server.default for server in git.servers()] == [True, False]
    assert set(found) <= git.NAMES


def test_the_identity(chain: FakeChain) -> None:
    assert run(signin, "git", "--name", "Ada L", "--email", "ada@example.com").exit_code == 0
    assert git.identity_environment() == {"TFGRID_GIT_NAME": "Ada L", "TFGRID_GIT_EMAIL": "ada@example.com"}
    run(signin, "git", "--email", "new@example.com")
    assert git.identity() == ("Ada L", "new@example.com")
    error_of(run(signin, "git"), UsageError, "usage")


def test_the_bash_tools_servers() -> None:
    bash_file({
        "git": {"name": "Ada", "email": "a@example.com"}, "github": {"token": "gh-token"},
        "gitea": {"url": "https://gitea.example.com", "token": "gitea-token"},
        "git_servers": [
            {"name": "git.one.org", "platform": "gitea", "username": "a", "token": "one-token"},
            {"name": "forge.two.org", "platform": "forgejo", "username": "b", "token": "two-token", "default": True},
            "odd", {"name": "no-token.org"}, {"name": "odd.org", "platform": 7, "token": "odd-token"},
        ],
    })  # fmt: skip
    found = git.environment()
    assert (found["GIT_SERVER"], found["GIT_TOKEN"], found["TFGRID_GIT_NAME"]) == ("forge.two.org", "two-token", "Ada")
    assert (found["TFGRID_GITHUB_TOKEN"], found["TFGRID_FORGEJO_URL"]) == ("gh-token", "https://forge.two.org")
    assert found["TFGRID_GITEA_TOKEN"] == "one-token"
    assert "two-token" not in PROCESS.text("two-token")
    with Store() as store:
        git.keep(store, git.Server("forge.two.org", "forgejo", "b", Secret("newer-token")))
    assert git.environment()["GIT_TOKEN"] == "newer-token"


def test_a_damaged_file_costs_a_name_and_no_token_silently() -> None:
    bash_file(b"- x\n")
    assert git.identity() == ("", "")
    with pytest.raises(GridError):
        git.environment()


@pytest.mark.parametrize("server", ["", "http://x.org", "ftp://x", "two words", "a;b"])
def test_names_that_are_no_servers(chain: FakeChain, server: str) -> None:
    error_of(run(signin, "git", "--server", server, input=TOKEN), UsageError, "git-server-invalid")


def test_an_empty_token(chain: FakeChain) -> None:
    error_of(run(signin, "git", "--server", "github.com", input="\n"), UsageError, "secret-unusable")


def test_forgetting_a_git_server(chain: FakeChain, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    done = run(signin, "git", "--server", "github.com", "--file", str(file))
    assert f"rm {file}" in done.stderr
    assert "github.com" in run(whoami).stdout
    known = json.loads(run(whoami, "--json").stdout)["git"]["servers"]
    assert known == [{"server": "github.com", "platform": "github", "username": "", "default": True, "from": "signin"}]
    assert "github.com" in error_of(run(signout, "git", "--server", "gihub.com", "-y"), NotFoundError, "account-not-kept").fix
    error_of(run(signout, "git", "--server", "github.com"), UsageError, "usage")
    assert run(signout, "git", "--server", "github.com", "-y").exit_code == 0
    assert git.servers() == []


# Apps get them


@pytest.fixture
def app(app_folder: Path) -> Any:
    from tfgrid_compose.manifest.load import load_app

    text = "name: my-app\nenvironment:\n  - {name: GIT_TOKEN, required: true}\n  - {name: TFGRID_GIT_NAME}\n  - {name: OTHER, default: x}\n"
    (app_folder / "tfgrid-compose.yaml").write_text(text)
    return load_app(app_folder)


def resolved(app: Any, store: Store, **overrides: str) -> Any:
    from tfgrid_compose.deploy.up import _environment
    from tfgrid_compose.observe.events import Stream
    from tfgrid_compose.state.store import Deployment

    deployment = Deployment("0123456789abcdef", "my-app", "local", "new", 0.0, 0.0, {})
    store.save(deployment)
    return _environment(store, Stream(), deployment, app, None, overrides, lambda variable: None)


def test_an_app_that_declares_them_gets_them(app: Any) -> None:
    with Store() as store:
        git.keep(store, git.Server("forge.example.com", "forgejo", "ada", Secret(TOKEN)))
        settings.save(settings.Settings(git=settings.GitIdentity(name="Ada")))
        found = resolved(app, store)
        assert found.values == {"GIT_TOKEN": TOKEN, "TFGRID_GIT_NAME": "Ada", "OTHER": "x"}
        assert "GIT_TOKEN" in found.secrets and "TFGRID_GIT_NAME" not in found.secrets
        assert found.given == {}, "it is asked for each time, so that a new token takes effect"


def test_what_the_user_gives_counts_first(app: Any) -> None:
    with Store() as store:
        git.keep(store, git.Server("forge.example.com", "forgejo", "ada", Secret(TOKEN)))
        assert resolved(app, store, GIT_TOKEN="mine").values["GIT_TOKEN"] == "mine"
        store.set_app_secret("0123456789abcdef", "GIT_TOKEN", "kept")
        assert resolved(app, store).values["GIT_TOKEN"] == "kept"


def test_an_app_that_declares_none_does_not_ask_for_them(app_folder: Path) -> None:
    from tfgrid_compose.manifest.load import load_app

    bash_file(b"- damaged\n")
    with Store() as store:
        assert resolved(load_app(app_folder), store).values == {}
