"""Known failures: every text that outside programs are known to write finds its row, and ordinary output finds none."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.known import CASES
from tests.unit.diagnosis.said import Make, grid, here, hook, init, login, task, tunnel
from tfgrid_compose.errors import (
    BusyError,
    GridError,
    HookError,
    InterruptedError_,
    ManifestError,
    NotFoundError,
    PatternError,
    StateError,
    TfgridError,
    UsageError,
)
from tfgrid_compose.observe.diagnosis import Failure, all_failures, diagnose
from tfgrid_compose.observe.diagnosis.text import PLACES, scopes_of, text_of

# What passes when nothing is changed. Each may run a step again, so the list is written out twice on purpose.
TRANSIENT = {
    "chain-behind", "node-without-chain", "transaction-race", "chain-unreachable", "chain-slow", "contract-hash",
    "twin-relay", "relay-unreachable", "verification-unasked", "gridproxy-down", "node-unreachable", "no-access-point", "image-unreachable", "image-mount",
    "grid-timeout", "grid-no-connection",
    "state-locked", "state-unsaved", "registry-unreachable", "plugin-crashed", "provider-inconsistent", "terraform-stopped", "provider-gone",
    "machine-booting", "ssh-handshake", "ssh-broken", "ssh-refused", "no-route-to-machine", "wireguard-handshake", "machine-silent",
    "ansible-unreachable",
    "apt-lock", "apt-mirror-sync", "apt-fetch", "dns-machine", "dns-here", "machine-no-internet",
}  # fmt: skip


# What is known


@pytest.mark.parametrize(("make", "code", "text"), CASES, ids=[f"{code}: {text[:40]!r}" for _, code, text in CASES])
def test_known_texts_find_their_row(make: Make, code: str, text: str) -> None:
    found = diagnose(make(text))
    assert found is not None, "no row"
    assert found.code == code


def test_every_row_is_found_by_some_text() -> None:
    assert {row.code for row in all_failures()} == {code for _, code, _ in CASES}


def test_every_pattern_is_found_in_some_text() -> None:
    """A pattern that no known text has is a guess, and may be misspelt."""
    texts: dict[str, list[str]] = {}
    for make, code, text in CASES:
        texts.setdefault(code, []).append(text_of(make(text)))
    unused = [
        (row.code, pattern)
        for row in all_failures()
        for pattern in row.patterns
        if not any(Failure("x", (pattern,), "", "", "").matches(text) for text in texts[row.code])
    ]
    assert unused == []


def test_transient_rows_are_those_that_pass() -> None:
    assert {row.code for row in all_failures() if row.transient} == TRANSIENT


@pytest.mark.parametrize(("make", "text"), [(make, text) for make, _, text in CASES], ids=range(len(CASES)))
def test_capitals_and_what_stands_around_do_not_matter(make: Make, text: str) -> None:
    plain = diagnose(make(text))
    assert diagnose(make(text.upper())) is plain
    if "\n" not in text and make is grid:
        assert diagnose(make(f"couldn't deploy deployment with error: {text}")) is plain


HEALTHY = [
    "Reading package lists... Done\nBuilding dependency tree... Done\n0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.",
    "Setting up nginx (1.22.1-9) ...\nCreated symlink /etc/systemd/system/multi-user.target.wants/nginx.service",
    "Get:1 http://packages.example/debian bookworm InRelease [151 kB]\nFetched 9,012 kB in 1s (8,123 kB/s)",
    "PLAY RECAP *********************\nvm : ok=19 changed=14 unreachable=0 failed=0 skipped=3 rescued=0 ignored=0",
    "Apply complete! Resources: 2 added, 0 changed, 0 destroyed.", "grid_deployment.vm: Creation complete after 5s [id=1002]",
    "8a49fdb3b6a5: Pull complete\nStatus: Downloaded newer image for nginx:latest\nContainer app-web-1  Started",
    "✅ setup done\nlistening on 0.0.0.0:8080\nhealthy", "* Connected to localhost (127.0.0.1) port 8080 (#0)\n< HTTP/1.1 200 OK",
    "assertion failed: expected 3 rows, got 2", "Error: the database has no table entries", "memory: 512 MB, disk: 10 GB, cpu: 2",
    "nginx: configuration file /etc/nginx/nginx.conf test is successful", "Cloning into 'app'...\nremote: Counting objects: 100% (5/5), done.",
    "[#] ip link add wg-app type wireguard\n[#] wg setconf wg-app /dev/fd/63\n[#] ip link set mtu 1420 up dev wg-app",
    "Warning: Permanently added '[10.5.3.2]:22' (ED25519) to the list of known hosts.",
    "Initializing provider plugins...\n- Finding threefoldtech/grid versions matching \"~> 1.11.3\"...\nTerraform has been successfully initialized!",
]  # fmt: skip


@pytest.mark.parametrize("make", [grid, init, hook, task, login, tunnel, here], ids=lambda make: make.__name__)
@pytest.mark.parametrize("text", HEALTHY, ids=range(len(HEALTHY)))
def test_ordinary_output_is_not_diagnosed(make: Make, text: str) -> None:
    assert diagnose(make(text)) is None


# Where a text comes from decides what it can mean


@pytest.mark.parametrize(
    "text", ["ContractNotExists", "NameExists", "account not found", "exists", "mnemonic/seed 'x' is invalid"]
)
def test_output_of_a_hook_is_not_read_as_an_error_of_the_grid(text: str) -> None:
    assert diagnose(hook(text)) is None
    assert diagnose(grid(text)) is not None


@pytest.mark.parametrize(
    "kind", [UsageError, ManifestError, PatternError, NotFoundError, BusyError, StateError, InterruptedError_]
)
def test_errors_about_what_the_user_wrote_are_never_diagnosed(kind: type[TfgridError]) -> None:
    for _, _, text in CASES:
        assert diagnose(kind("x", why=text)) is None


@pytest.mark.parametrize(
    ("make", "code"),
    [(grid, "node-disk-full"), (init, "disk-full"), (hook, "machine-disk-full"), (tunnel, "disk-full"), (here, "disk-full")],
)
def test_the_same_words_mean_another_disk_elsewhere(make: Make, code: str) -> None:
    found = diagnose(make("no space left on device"))
    assert found is not None and found.code == code


@pytest.mark.parametrize(
    ("step", "code"),
    [("infrastructure", "node-disk-full"), ("setup", "machine-disk-full"), ("platform", "machine-disk-full"), ("", "disk-full")],
)
def test_the_step_decides_for_an_error_of_no_particular_class(step: str, code: str) -> None:
    found = diagnose(TfgridError("`x` exited with 1", why="no space left on device"), step)
    assert found is not None and found.code == code


def test_a_machine_of_the_local_grid_is_made_by_this_computer() -> None:
    error = GridError("machine vm did not start", why="mount: no space left on device", code="localgrid-machine")
    found = diagnose(error, "infrastructure")
    assert found is not None and found.code == "disk-full"


def test_a_hook_that_lost_its_machine_is_a_matter_of_ssh() -> None:
    error = HookError("hook setup cut the connection to the machine", why="ssh does not answer on the machine any more: No route to host",
                      code="hook-lost-machine")  # fmt: skip
    found = diagnose(error)
    assert found is not None and found.code == "no-route-to-machine"


def test_places_of_rows_and_errors_are_known() -> None:
    assert {place for row in all_failures() for place in row.scope} == set(PLACES)
    for make, _, text in CASES:
        assert set(scopes_of(make(text))) <= set(PLACES)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # The reason at the end of the chain wins over what wraps it.
        ("error waiting deployment: waiting for deployment 5 timed out: could not reach node 7", "node-unreachable"),
        ("couldn't deploy deployment with error: failed to revert deployments: account contains 1.0 tft, min fee is 2 tft", "balance-low"),
        ("failed to submit extrinsic: ContractIsNotUnique", "contract-duplicate"),
        ("error creating threefold plugin client: could not create rmb client: context deadline exceeded", "relay-unreachable"),
    ],
)  # fmt: skip
def test_the_most_telling_row_wins(text: str, code: str) -> None:
    found = diagnose(grid(text))
    assert found is not None and found.code == code
