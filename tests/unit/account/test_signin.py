"""`signin`, `whoami` and `signout`: what they ask, tell and refuse, and that no mnemonic is shown."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tests.fakes.chain import FakeChain
from tests.unit.account.people import (
    ALICE,
    ALICE_SEED,
    ED25519,
    OTHER,
    PHRASE,
    SR25519,
    bash_file,
    error_of,
    old_file,
    on_disk,
    run,
)
from tfgrid_compose.cli.account import signin, signout, whoami
from tfgrid_compose.errors import GridError, InterruptedError_, NotFoundError, UsageError
from tfgrid_compose.grids import account
from tfgrid_compose.observe.redact import Secret
from tfgrid_compose.state import check, settings
from tfgrid_compose.state.store import Store

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
    error = error_of(run(signin, "--network", "main", input=ALICE_SEED), UsageError, "yes-missing")
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
    error_of(run(signout), UsageError, "yes-missing")
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
