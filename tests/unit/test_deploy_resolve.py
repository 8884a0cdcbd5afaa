"""From a folder, options and memory to one deployment: sizes, variables, names, and which one is meant."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tfgrid_compose.deploy import lookup, resolve
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import ManifestError, NotFoundError, UsageError
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.names import user_of
from tfgrid_compose.patterns.load import load as load_pattern
from tfgrid_compose.state.store import Deployment, Store


@pytest.fixture
def store(home: Path) -> Any:
    """An empty store."""
    with Store() as found:
        yield found


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without routes and interfaces."""
    monkeypatch.setattr(wireguard, "host_routes", list)
    monkeypatch.setattr(wireguard, "host_interfaces", set)


def app_of(folder: Path, text: str) -> App:
    """The app with more in its manifest."""
    (folder / "tfgrid-compose.yaml").write_text("name: my-app\n" + text)
    return load_app(folder)


def sizes(app: App, **overrides: Any) -> tuple[int, int, int]:
    """(cores, MB, GB) for the role of single-vm, whose pattern says 2, 4096, 50."""
    found = resolve.sizes(app, "vm", load_pattern("single-vm").pattern.roles["vm"], overrides)
    return found.cpu, found.memory, found.disk


SHARED = "resources:\n  cpu: {min: 1, recommended: 3}\n  memory: {min: 512, recommended: 1024}\n  disk: {min: 4}\n"
SPECIAL = SHARED + "  vm:\n    cpu: {min: 4, recommended: 6}\n    memory: 8G\n"


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("", {}, (2, 4096, 50)),
        ("resources: {cpu: 5}\n", {}, (5, 4096, 50)),
        (SHARED, {}, (3, 1024, 4)),
        (SPECIAL, {}, (6, 8192, 4)),
        (SHARED, {"cpu": 8}, (8, 1024, 4)),
        (SHARED, {"size": "dev"}, (1, 512, 4)),
        (SHARED, {"size": "small"}, (3, 1024, 4)),
        (SHARED, {"size": "medium"}, (6, 2048, 8)),
        (SHARED, {"size": "medium", "memory": 700}, (6, 700, 8)),
        ("", {"size": "dev"}, (2, 4096, 50)),
        (SPECIAL, {"size": "dev"}, (4, 8192, 4)),
    ],
)
def test_sizes_follow_user_then_role_then_app_then_pattern(
    app_folder: Path, text: str, overrides: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert sizes(app_of(app_folder, text), **overrides) == expected


def test_less_than_the_apps_minimum_is_refused_with_the_number(app_folder: Path) -> None:
    app = app_of(app_folder, SHARED)
    assert sizes(app, memory=512)[1] == 512
    with pytest.raises(ManifestError, match="memory 511 is less than the app's minimum of 512") as caught:
        sizes(app, memory=511)
    assert (caught.value.code, caught.value.exit_code) == ("size-too-small", 3)


def options(**given: Any) -> UpOptions:
    """Options of `up`."""
    return UpOptions(target=given.pop("target", Path("app")), **given)


@pytest.mark.parametrize(
    ("given", "remembered", "expected"),
    [
        ({}, {"cpu": 4, "node": 7}, {"cpu": 4, "node": 7}),
        ({"cpu": 8}, {"cpu": 4, "memory": 512}, {"cpu": 8, "memory": 512}),
        ({"size": "large"}, {"cpu": 4, "memory": 512}, {"size": "large"}),
        ({"size": "large", "disk": 9}, {"cpu": 4}, {"size": "large", "disk": 9}),
        ({"memory": 512}, {"size": "large"}, {"size": "large", "memory": 512}),
    ],
)
def test_what_the_user_chose_is_remembered_until_chosen_anew(
    given: dict[str, Any], remembered: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert resolve.overrides_of(options(**given), remembered) == expected


def test_a_new_size_does_not_forget_the_chosen_node() -> None:
    assert resolve.overrides_of(options(size="large"), {"node": 7, "cpu": 4}) == {"size": "large", "node": 7}


def test_a_size_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(UsageError, match="there is no size `smal`") as caught:
        resolve.overrides_of(options(size="smal"), {})
    assert "small" in caught.value.fix


def test_variables_go_to_the_app_or_to_its_pattern(app_folder: Path) -> None:
    app = app_of(app_folder, "environment:\n  - name: GREETING\n")
    pattern = load_pattern("single-vm")
    assert resolve.split_variables(app, pattern, {"GREETING": "hi", "vm_flist": "x.fl"}) == (
        {"GREETING": "hi"},
        {"vm_flist": "x.fl"},
    )
    with pytest.raises(UsageError, match="--var GREETIN: neither") as caught:
        resolve.split_variables(app, pattern, {"GREETIN": "hi"})
    assert "GREETING" in caught.value.fix


# Deployments


def deployment(id: str, name: str = "my-app", network: str = "local", **data: Any) -> Deployment:
    """A deployment that is remembered."""
    return Deployment(id, name, network, "running", 1.0, 1.0, {"pattern": "single-vm", **data})


def test_up_means_the_deployment_of_this_name_from_this_folder(store: Store, app_folder: Path) -> None:
    app = load_app(app_folder)
    assert resolve.find_deployment(store, app, options()) is None
    mine = store.save(deployment("a1", app_dir=str(app.folder)))
    assert resolve.find_deployment(store, app, options()) == mine
    assert resolve.find_deployment(store, app, options(network="main")) is None
    assert resolve.find_deployment(store, app, options(name="other")) is None


def test_another_folders_deployment_is_never_taken_over(store: Store, app_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    store.save(deployment("a1", app_dir=str(tmp_path / "other")))
    with pytest.raises(UsageError) as caught:
        resolve.find_deployment(store, load_app(app_folder), options(target=Path("./x")))
    assert (caught.value.code, caught.value.why) == ("name-taken", f"it was made from {tmp_path / 'other'}")
    assert caught.value.fix.endswith("tfgrid-compose up x --name my-app-2")


def test_a_folder_that_has_moved_keeps_its_deployment(store: Store, app_folder: Path) -> None:
    moved = store.save(deployment("a1", app_dir="/somewhere/that/is/gone"))
    assert resolve.find_deployment(store, load_app(app_folder), options()) == moved


def test_a_deployment_whose_keys_are_lost_has_to_be_removed_first(store: Store, app_folder: Path) -> None:
    store.save(replace(deployment("a1b2c3d4e5f6a7b8", app_dir=""), status="orphaned"))
    with pytest.raises(UsageError) as caught:
        resolve.find_deployment(store, load_app(app_folder), options())
    assert (caught.value.code, "tfgrid-compose down a1b2c3d4" in caught.value.fix) == ("deployment-orphaned", True)


def test_two_networks_must_be_told_apart(store: Store, app_folder: Path) -> None:
    app = load_app(app_folder)
    for id, network in (("a1", "local"), ("b2", "main")):
        store.save(deployment(id, network=network, app_dir=str(app.folder)))
    with pytest.raises(UsageError) as caught:
        resolve.find_deployment(store, app, options())
    assert caught.value.code == "network-ambiguous"
    found = resolve.find_deployment(store, app, options(network="main"))
    assert found and found.id == "b2"


def test_a_new_deployment_gets_a_range_and_an_interface_of_its_own(
    store: Store, app_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = load_app(app_folder)
    monkeypatch.setattr(wireguard, "host_routes", lambda: [f"10.{number}.0.0/16" for number in range(1, 229)])
    monkeypatch.setattr(wireguard, "host_interfaces", lambda: {"wg-my-app"})
    store.save(deployment("a1", name="x", ip_range="10.229.0.0/16", interface="wg-my-app-2"))
    found = resolve.new_deployment(store, app, options(), "single-vm")
    assert (found.data["ip_range"], found.data["interface"]) == ("10.230.0.0/16", "wg-my-app-3")
    assert (found.status, found.network, found.name) == ("new", "local", "my-app")
    assert len(store.deployments()) == 1, "nothing is written"
    store.save(deployment("b2", name="y", ip_range="10.230.0.0/16"))
    with pytest.raises(UsageError) as caught:
        resolve.new_deployment(store, app, options(), "single-vm")
    assert caught.value.code == "range-exhausted"


def test_deployments_that_are_recorded_at_the_same_time_never_share_a_range_or_an_interface(store: Store) -> None:
    fresh = [replace(deployment(f"a{number}", f"app-{number}", ip_range="10.5.0.0/16", interface="wg-app"), status="new")
             for number in range(20)]  # fmt: skip

    def claim(wish: Deployment) -> Deployment:
        with Store() as own:
            return resolve.claim(own, wish)

    with ThreadPoolExecutor(20) as all_at_once:
        made = list(all_at_once.map(claim, fresh))
    for key, first in (("ip_range", "10.5.0.0/16"), ("interface", "wg-app")):
        got = {str(item.data[key]) for item in made}
        assert first in got and len(got) == 20
    assert sorted(item.id for item in store.deployments()) == sorted(item.id for item in fresh)


def test_a_claim_keeps_what_nobody_took(store: Store) -> None:
    wish = replace(deployment("a1", ip_range="10.5.0.0/16", interface="wg-my-app-7"), status="new")
    assert resolve.claim(store, wish).data == resolve.claim(store, wish).data == wish.data


def test_a_claim_sees_the_routes_of_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = replace(deployment("a1", ip_range="10.5.0.0/16", interface="wg-my-app"), status="new")
    monkeypatch.setattr(wireguard, "host_routes", lambda: ["10.5.7.0/24"])
    monkeypatch.setattr(wireguard, "host_interfaces", lambda: {"wg-my-app"})
    found = resolve.claim(store, wish).data
    assert (found["ip_range"], found["interface"]) == ("10.6.0.0/16", "wg-my-app-2")


def test_the_users_public_keys_are_found(tmp_path: Path) -> None:
    assert resolve.public_keys(tmp_path) == []
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 A me\n")
    (tmp_path / ".ssh" / "id_ed25519").write_text("PRIVATE")
    assert resolve.public_keys(tmp_path) == ["ssh-ed25519 A me"]


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"ssh-ed25519 AAAA caf\xe9 \x1b[31m\n", "ssh-ed25519 AAAA caf? ?[31m"), (b"\xef\xbb\xbfnonsense\nssh-rsa AAAA==\n", "ssh-rsa AAAA=="),
        (b"ssh-rsa AA\0A\n", None), (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", None), (b"", None), (b"\0" * 100_000, None),
        (b"sk-ssh-ed25519@openssh.com AAAA\tme\r\n", "sk-ssh-ed25519@openssh.com AAAA me"), (b"command=\"x\" ssh-rsa AAAA me\n", None),
        (b"ssh-rsa AAAA one\nssh-rsa BBBB two\n", "ssh-rsa AAAA one"), (b"ssh-rsa\n  AAAA", None),
    ],
)  # fmt: skip
def test_of_a_key_file_only_a_key_is_taken(tmp_path: Path, raw: bytes, key: str | None) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa.pub").write_bytes(raw)
    assert resolve.public_keys(tmp_path) == ([key] if key else [])


def test_a_key_file_that_can_not_be_read_is_no_key(tmp_path: Path) -> None:
    (tmp_path / ".ssh" / "id_rsa.pub").mkdir(parents=True)
    assert resolve.public_keys(tmp_path) == []


@pytest.mark.parametrize("value", ["caf\udce9", "a\0b", "x" * 140_000])
@pytest.mark.parametrize("name", ["GREETING", "vm_flist"])
def test_a_value_that_no_process_can_have_is_refused_for_app_and_pattern(app_folder: Path, name: str, value: str) -> None:
    app, pattern = app_of(app_folder, "environment:\n  - name: GREETING\n"), load_pattern("single-vm")
    with pytest.raises(UsageError, match=f"--var {name} can't be taken") as caught:
        resolve.split_variables(app, pattern, {name: value})
    assert caught.value.code == "variable-invalid"


@pytest.mark.parametrize(
    ("app", "user"),
    [
        ("My App", "my-app"),
        ("9lives", "app-9lives"),
        ("...", "app"),
        ("a" * 50, "a" * 31),
        ("root", "app-root"),
        ("Root", "app-root"),
        ("www_data", "app-www-data"),
        ("messagebus", "app-messagebus"),
        ("docker", "app-docker"),
    ],
)
def test_every_app_has_a_valid_user_that_the_system_did_not_have_before(app: str, user: str) -> None:
    assert user_of(app) == user


# Lookup


@pytest.fixture
def several(store: Store, tmp_path: Path) -> Store:
    """Three deployments; two of one name, two from one folder."""
    for id, name, network, folder in (
        ("abc111", "web", "local", "one"), ("abd222", "web", "main", "one"), ("ff3333", "db", "local", "two"),
    ):  # fmt: skip
        (tmp_path / folder / "src").mkdir(parents=True, exist_ok=True)
        store.save(deployment(id, name, network, app_dir=str(tmp_path / folder)))
    return store


def test_a_deployment_is_found_by_name_folder_file_and_beginning_of_id(several: Store, tmp_path: Path) -> None:
    (tmp_path / "two" / "tfgrid-compose.yaml").write_text("name: db\n")
    targets = ["db", str(tmp_path / "two"), str(tmp_path / "two" / "tfgrid-compose.yaml"), "ff", "FF33", "ff3333"]
    assert {lookup.find(several, target, tmp_path).id for target in targets} == {"ff3333"}
    assert lookup.find(several, None, tmp_path / "two").id == "ff3333"


@pytest.mark.parametrize("target", ["web", "ab"])
def test_what_can_mean_two_lists_both(several: Store, tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match=f"{target} can mean 2 deployments") as caught:
        lookup.find(several, target, tmp_path)
    assert caught.value.why == "abc111 (web on local), abd222 (web on main)"
    assert caught.value.fix == "use an id, for example abc111"


def test_a_folder_with_two_deployments_needs_a_word_more(several: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this folder can mean 2 deployments"):
        lookup.find(several, None, tmp_path / "one")


@pytest.mark.parametrize(
    ("target", "fix"),
    [("wbe", "web"), ("nothing-like-it", "tfgrid-compose ps"), ("a", "tfgrid-compose ps"), ("f", "tfgrid-compose ps")],
)
def test_what_does_not_exist_gets_a_suggestion(several: Store, tmp_path: Path, target: str, fix: str) -> None:
    with pytest.raises(NotFoundError, match=f"there is no deployment `{target}`") as caught:
        lookup.find(several, target, tmp_path)
    assert fix in caught.value.fix
    assert "web" in caught.value.why


def test_without_a_name_the_only_one_is_meant(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing is deployed"):
        lookup.find(store, None, tmp_path)
    store.save(deployment("a1", app_dir="/gone"))
    assert lookup.find(store, None, tmp_path).id == "a1"
    store.save(deployment("b2", "other", app_dir="/gone too"))
    with pytest.raises(UsageError, match="which deployment") as caught:
        lookup.find(store, None, tmp_path)
    assert caught.value.why == "there are my-app, other"


def test_an_app_folder_that_is_not_deployed_says_so(several: Store, app_folder: Path) -> None:
    for target, here in ((None, app_folder), (str(app_folder), app_folder.parent)):
        with pytest.raises(NotFoundError, match="is not deployed") as caught:
            lookup.find(several, target, here)
        assert caught.value.fix.startswith("tfgrid-compose up")


def test_a_very_long_name_is_just_not_found(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        lookup.find(store, "x" * 5000, tmp_path)
