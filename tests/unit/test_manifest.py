"""Manifests of real apps and every shape that the bash tool's apps use, and their JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.deploy.networks import choose
from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest import scaffold
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import NETWORK_KINDS, HookOptions, Manifest, Network
from tfgrid_compose.manifest.schema import json_schema
from tfgrid_compose.state.settings import Connect

MANIFESTS = sorted((Path(__file__).parent / "manifests").glob("*.yaml"))
# This one is a pattern that was once written as an app; nothing ever deployed it, and it has keys of its own.
APPS = [path for path in MANIFESTS if path.stem != "pattern-tfgrid-ai-stack"]
SCHEMA = json_schema()


def preferred(network: Network) -> tuple[str, ...]:
    """The order of addresses when only the manifest says something."""
    return choose(network, Connect()).prefer


VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def load(folder: Path, text: str, **options: Any) -> App:
    (folder / "tfgrid-compose.yaml").write_text(text)
    return load_app(folder, **options)


def manifest(data: dict[str, Any]) -> Manifest:
    return Manifest.model_validate({"name": "a", **data})


def complaints(data: Any) -> list[str]:
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in VALIDATOR.iter_errors(data)]


# Real apps


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.stem)
def test_every_real_app_loads_without_a_single_warning(app_folder: Path, path: Path) -> None:
    app = load(app_folder, path.read_text(), strict=True)
    assert app.problems == ()
    assert app.manifest.pattern_name in ("single-vm", "k3s")


def test_wordpress_is_understood_in_full(app_folder: Path) -> None:
    app = load(app_folder, (Path(__file__).parent / "manifests" / "tfgrid-wordpress.yaml").read_text()).manifest
    assert (app.name, app.version, app.pattern_name) == ("tfgrid-wordpress", "1.0.0", "single-vm")
    assert app.resources.cpu is not None
    assert (app.resources.cpu.min, app.resources.cpu.recommended) == (1, 2)
    assert [(port.number, port.name) for port in app.resources.ports] == [(22, "ssh"), (80, "http"), (443, "https")]
    assert app.network.provisioned() == ("wireguard", "mycelium", "ipv4")
    variables = {variable.name: variable for variable in app.environment}
    assert variables["DOMAIN"].required is True
    assert variables["DNS_PROVIDER"].options == ["manual", "name.com", "cloudflare", "godaddy"]
    assert variables["CLOUDFLARE_API_TOKEN"].depends_on == {"DNS_PROVIDER": "cloudflare"}
    assert {name for name, variable in variables.items() if variable.secret} == {
        "NAMECOM_API_TOKEN", "CLOUDFLARE_API_TOKEN", "GODADDY_API_SECRET", "DB_PASSWORD", "DB_ROOT_PASSWORD",
    }  # fmt: skip
    assert app.commands["logs"].args == "[wordpress|db|caddy] [--follow]"
    assert app.status is not None
    assert app.status.check_interval == "60"
    assert app.logging is not None
    assert app.logging.options["max-size"] == "10m"


def test_gitea_keeps_its_commands_and_its_unit(app_folder: Path) -> None:
    app = load(app_folder, (Path(__file__).parent / "manifests" / "tfgrid-gitea.yaml").read_text()).manifest
    assert len(app.commands) == 13
    assert app.commands["create-repo"].interactive is True
    assert app.logging is not None
    assert (app.logging.service, app.logging.location) == ("gitea", "/var/log/gitea")


def test_gitea_with_some_of_its_scripts_is_warned_about_the_others(app_folder: Path) -> None:
    (app_folder / "src" / "scripts").mkdir(parents=True)
    for name in ("init-admin.sh", "launch.sh", "create-repo.sh", "list-repos.sh", "create-user.sh", "status.sh"):
        (app_folder / "src" / "scripts" / name).write_text("#!/bin/sh\n")
    app = load(app_folder, (Path(__file__).parent / "manifests" / "tfgrid-gitea.yaml").read_text())
    assert {problem.text.rsplit(" ")[-1] for problem in app.warnings} == {
        "delete-repo.sh", "list-users.sh", "reset-password.sh", "clone-repo.sh", "push-code.sh", "backup.sh", "restore.sh",
    }  # fmt: skip


def test_the_k3s_example_names_its_nodes(app_folder: Path) -> None:
    app = load(app_folder, (Path(__file__).parent / "manifests" / "example-k3s-cluster.yaml").read_text()).manifest
    assert (app.nodes.master, app.nodes.workers) == (1, [8, 13])
    assert app.resources.worker is not None
    assert app.resources.worker.memory is not None
    assert app.resources.worker.memory.min == app.resources.worker.memory.recommended == 4096
    assert preferred(app.network) == ("wireguard", "mycelium")


def test_a_pattern_written_as_an_app_lists_every_script_that_is_missing(app_folder: Path) -> None:
    with pytest.raises(ManifestError, match="the app has 6 errors") as caught:
        load(app_folder, (Path(__file__).parent / "manifests" / "pattern-tfgrid-ai-stack.yaml").read_text())
    assert caught.value.details[0] == (
        "tfgrid-compose.yaml:290: command `create`: scripts/create-project.sh does not exist in the app folder"
    )


def test_a_pattern_written_as_an_app_deploys_once_its_scripts_are_there(app_folder: Path) -> None:
    text = (Path(__file__).parent / "manifests" / "pattern-tfgrid-ai-stack.yaml").read_text()
    for command in yaml.safe_load(text)["commands"].values():
        (app_folder / command["script"]).parent.mkdir(exist_ok=True)
        (app_folder / command["script"]).write_text("#!/bin/sh\n")
    unknown = {problem.text for problem in load(app_folder, text).warnings}
    assert "unknown key `resource_intensive`" in unknown
    assert len(unknown) == 7


# Shapes


@pytest.mark.parametrize("written", [4096, "4096", "4G", "4GB", "4096M", {"min": "4G", "recommended": 4096}])
def test_sizes_are_the_same_in_every_shape(written: Any) -> None:
    found = manifest({"resources": {"memory": written, "vm": {"memory": written}}}).resources
    assert found.vm is not None
    for memory in (found.memory, found.vm.memory):
        assert memory is not None
        assert (memory.min, memory.recommended) == (4096, 4096)


def test_half_a_range_leaves_the_other_half_open() -> None:
    cpu = manifest({"resources": {"cpu": {"min": 2}}}).resources.cpu
    assert cpu is not None
    assert (cpu.min, cpu.recommended) == (2, None)


@pytest.mark.parametrize(
    ("written", "port"),
    [
        (8080, (8080, "tcp", "")), ("8080", (8080, "tcp", "")), ("22:ssh", (22, "tcp", "ssh")), ("53/udp", (53, "udp", "")),
        ("53/udp:dns", (53, "udp", "dns")), ("80 : http", (80, "tcp", "http")), ({80: "http"}, (80, "tcp", "http")),
        ({"number": 53, "protocol": "udp", "name": "dns"}, (53, "udp", "dns")),
    ],
)  # fmt: skip
def test_ports_are_the_same_in_every_shape(written: Any, port: tuple[int, str, str]) -> None:
    (found,) = manifest({"resources": {"ports": [written]}}).resources.ports
    assert (found.number, found.protocol, found.name) == port


@pytest.mark.parametrize("written", ["mycelium,wireguard", "mycelium, wireguard ,", ["mycelium", "wireguard"]])
def test_networks_are_a_list_or_words_with_commas(written: Any) -> None:
    network = manifest({"network": {"provision": written, "prefer": written}}).network
    assert (network.provision, preferred(network)) == (["mycelium", "wireguard"], ("mycelium", "wireguard"))


@pytest.mark.parametrize("written", [True, "true", "True", "yes", "on", "1", 1])
def test_every_yes_of_the_bash_tool_rents_an_address(written: Any) -> None:
    assert "ipv4" in manifest({"network": {"public_ipv4": written}}).network.provisioned()


@pytest.mark.parametrize("written", [False, "false", "No", "off", "0", "", None])
def test_every_no_rents_none(written: Any) -> None:
    assert manifest({"network": {"public_ipv4": written}}).network.provisioned() == ("wireguard", "mycelium")


@pytest.mark.parametrize(
    ("network", "made", "first"),
    [
        ({}, ("wireguard", "mycelium"), "wireguard"),
        ({"mode": "wireguard-only"}, ("wireguard",), "wireguard"),
        ({"mode": "mycelium-only"}, ("mycelium",), "mycelium"),
        ({"mode": "both", "main": "mycelium"}, ("wireguard", "mycelium"), "mycelium"),
        ({"main": "public"}, ("wireguard", "mycelium", "ipv4"), "ipv4"),
        ({"provision": "ipv6", "mode": "both"}, ("ipv6",), "ipv6"),
        ({"provision": "mycelium", "prefer": "wireguard,mycelium"}, ("mycelium",), "mycelium"),
        ({"provision": "ipv4,ipv4,wireguard", "public_ipv4": True}, ("ipv4", "wireguard"), "wireguard"),
    ],
)
def test_legacy_network_fields_become_provision_and_prefer(network: dict[str, Any], made: tuple[str, ...], first: str) -> None:
    found = Network.model_validate(network)
    assert found.provisioned() == made
    assert preferred(found)[0] == first


@given(st.lists(st.sampled_from(NETWORK_KINDS), min_size=1), st.lists(st.sampled_from(NETWORK_KINDS)), st.booleans())
def test_the_order_of_addresses_is_always_all_networks_once(provision: list[str], prefer: list[str], public: bool) -> None:
    found = Network.model_validate({"provision": provision, "prefer": prefer, "public_ipv4": public})
    assert sorted(preferred(found)) == sorted(set(provision) | ({"ipv4"} if public else set()))
    wanted = [kind for kind in dict.fromkeys(prefer) if kind in found.provisioned()]
    assert list(preferred(found))[: len(wanted)] == wanted


def test_the_gateway_and_k3s_shapes_of_the_bash_tool_are_accepted(app_folder: Path) -> None:
    text = """
name: shop
patterns: {recommended: gateway, supported: "gateway, single-vm"}
nodes: {gateway: [1], backend: [8, 13], masters: {count: 3}, workers: {count: 3}, ingress: {count: 0}, vm: 8}
resources: {gateway: {cpu: 2, memory: 4096, disk: 50}, backend: {cpu: 4}, ingress: {cpu: 2}}
gateway: {mode: proxy, domains: [example.com], ssl: {enabled: true, email: a@b.c}}
backend: {count: 2, services: [web]}
hook_config: {configure: {optional: true, description: later}}
"""
    app = load(app_folder, text, strict=True)
    assert app.manifest.pattern_name == "gateway"
    assert app.manifest.patterns.supported == ["gateway", "single-vm"]
    assert app.manifest.nodes.gateway == [1]
    assert getattr(app.manifest.nodes.masters, "count", None) == 3
    assert app.manifest.gateway["ssl"]["email"] == "a@b.c"
    assert app.manifest.hook_options("configure").optional is True
    assert app.manifest.hook_options("setup") == HookOptions()


def test_environment_may_be_a_map() -> None:
    found = manifest(
        {"environment": {"A": "x", "B": None, "C": 3, "D": True, "E": {"required": "yes", "default": "e"}}}
    ).environment
    assert [(item.name, item.default, item.required) for item in found] == [
        ("A", "x", False), ("B", None, False), ("C", "3", False), ("D", "true", False), ("E", "e", True),
    ]  # fmt: skip


def test_the_pattern_is_named_in_two_places_that_must_agree(app_folder: Path) -> None:
    assert manifest({}).pattern_name == "single-vm"
    assert manifest({"pattern": "k3s"}).pattern_name == "k3s"
    assert manifest({"pattern": "k3s", "patterns": {"recommended": "k3s"}}).pattern_name == "k3s"
    with pytest.raises(ManifestError, match="`pattern: k3s` and `patterns.recommended: gateway` disagree"):
        load(app_folder, "name: a\npattern: k3s\npatterns: {recommended: gateway}\n")


def test_the_second_form_of_logging_and_status_is_tolerated() -> None:
    found = manifest({"logging": ["a"], "status": {"check_interval": 60, "endpoints": [{"path": "/"}]}})
    assert found.logging is None
    assert found.status is not None
    assert found.status.endpoints == [{"path": "/"}]


def test_data_disks_have_names_and_places_of_their_own(app_folder: Path) -> None:
    (disk,) = manifest({"disks": [{"size": "50G", "mount": "/data"}]}).disks
    assert (disk.name, disk.size, disk.mount) == ("data", 50, "/data")
    for second, words in (
        ("{size: 1, mount: /b}", "the same name"),
        ("{name: b, size: 1, mount: /a}", "the same mount"),
        ("{name: b, size: 1, mount: /a/}", "the same mount"),
        ("{name: b, size: 1, mount: //./a/.}", "the same mount"),
    ):
        with pytest.raises(ManifestError, match=f"two disks have {words}"):
            load(app_folder, f"name: a\ndisks:\n  - {{size: 1, mount: /a}}\n  - {second}\n")


@pytest.mark.parametrize(
    "mount",
    ["/etc", "/usr/local", "/var", "/var/", "/home", "/data/../etc", "/root/x", "/tmp/x", "/proc", "/./etc", "//etc", "///usr//lib", "/var/.",
     "/./var/./lib/", "/lib64", "/lib32/x", "/var/lib", "/var/lib/dpkg", "/var/lib//apt/lists", "/var/log", "/var/log/journal/x", "/var/run/x",
     "/var/tmp", "/media", "/opt/tfgrid-compose/x", "/.", "//", "/snap"],
)  # fmt: skip
def test_a_disk_never_covers_the_system(app_folder: Path, mount: str) -> None:
    with pytest.raises(ManifestError, match="belongs to the system"):
        load(app_folder, f"name: a\ndisks: [{{size: 1, mount: {mount}}}]\n")


@pytest.mark.parametrize(
    "mount",
    [
        "/data",
        "/srv/files",
        "/var/lib/postgresql",
        "/mnt/a",
        "/home/user",
        "/opt/app",
        "/var/www",
        "/var/log/app",
        "/data/",
        "/media/disk",
        "/etcetera",
        "/data..x",
    ],
)
def test_a_disk_may_stand_where_data_usually_is(mount: str) -> None:
    assert manifest({"disks": [{"size": 1, "mount": mount}]}).disks[0].mount == mount


def test_a_version_of_1_10_stays_1_10(app_folder: Path) -> None:
    assert load(app_folder, "name: a\nversion: 1.10\n").manifest.version == "1.10"


def test_a_default_with_a_leading_zero_stays_as_written(app_folder: Path) -> None:
    assert load(app_folder, "name: a\nenvironment: {PIN: 0123}\n").manifest.environment[0].default == "0123"


def test_yes_and_no_work_in_options_and_depends_on_as_in_defaults(app_folder: Path) -> None:
    load(
        app_folder, "name: a\nenvironment: [{name: A, default: true, options: [true, false]}, {name: B, depends_on: {A: true}}]\n"
    )


# JSON Schema


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["required"] == ["name"]


def test_every_key_of_the_schema_has_a_description() -> None:
    bare = [
        f"{model.get('title')}.{key}"
        for model in [SCHEMA, *SCHEMA["$defs"].values()]
        for key, entry in model.get("properties", {}).items()
        if not entry.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize(
    "path", [path for path in APPS if path.stem not in ("tfgrid-wordpress", "tfgrid-erpnext")], ids=lambda path: path.stem
)
def test_every_real_app_fits_the_schema(path: Path) -> None:
    assert complaints(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("name", ["tfgrid-wordpress", "tfgrid-erpnext"])
def test_apps_with_a_check_interval_fit_the_schema(name: str) -> None:
    assert complaints(yaml.safe_load((Path(__file__).parent / "manifests" / f"{name}.yaml").read_text())) == []


ACCEPTED: list[dict[str, Any]] = [
    {"version": 1.2, "description": "x"},
    {"x-mine": {"any": 1}, "tags": ["a"], "metadata": {}, "resources": {"x-note": 1}},
    {"resources": {"cpu": 2, "memory": "8G", "disk": {"min": "20G", "recommended": 50}, "vm": {"disk": "50G"}}},
    {"resources": {"ports": [80, "443:https", {"80": "http"}, {"number": 53, "protocol": "udp"}]}},
    {"network": {"provision": "mycelium,wireguard", "prefer": ["ipv4"], "public_ipv4": "yes"}},
    {"network": {"provision": ["ipv6"], "main": "public", "mode": "both", "inter_node": "wireguard"}},
    {"environment": {"A": 1, "B": None, "C": {"required": True}}},
    {"environment": [{"name": "A", "default": 3, "options": [1, "b"], "secret": True, "depends_on": {"B": "x"}}]},
    {"nodes": {"vm": 8, "gateway": [1], "masters": {"count": 3}}},
    {"commands": {"logs": {"script": "/opt/a/logs.sh -f", "uses_context": True}, "b": {"script": "x", "uses_context": "k"}}},
    {"disks": [{"size": "50G", "mount": "/data"}], "hook_config": {"setup": {"timeout": 60}}},
    {"pattern": "single-vm", "patterns": {"supported": ["single-vm"]}, "env_file": ".env.prod"},
]


@pytest.mark.parametrize("data", ACCEPTED, ids=range(len(ACCEPTED)))
def test_what_the_loader_takes_the_schema_takes(data: dict[str, Any]) -> None:
    manifest(data)
    assert complaints({"name": "a", **data}) == []


REFUSED: list[dict[str, Any]] = [
    {"name": ""}, {"name": "a b"}, {"name": None}, {"hooks": {"setup": 3}}, {"network": {"provision": ["lan"]}}, {"network": {"mode": "none"}},
    {"environment": [{"name": "a b"}]}, {"environment": 3}, {"commands": {"a": {}}}, {"commands": {"a": {"script": ""}}},
    {"disks": [{"size": 1}]}, {"hook_config": {"setup": {"timeout": 0}}}, {"resources": {"ports": 80}}, {"nodes": {"vm": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("data", REFUSED, ids=range(len(REFUSED)))
def test_what_the_schema_refuses_the_loader_refuses(app_folder: Path, data: dict[str, Any]) -> None:
    assert complaints({"name": "a", **data}) != []
    with pytest.raises(ManifestError):
        load(app_folder, yaml.safe_dump({"name": "a", **data}))


@pytest.mark.parametrize(
    "data", [{"cpu": {"min": 0}}, {"cpu": {"min": 33}}, {"memory": {"min": 1}}, {"disk": {"min": 0}}], ids=str
)
def test_the_bounds_of_sizes_are_in_the_schema(data: dict[str, Any]) -> None:
    assert complaints({"name": "a", "resources": data}) != []


def test_unknown_keys_fail_the_schema_as_they_fail_strict() -> None:
    assert complaints({"name": "a", "resorces": {}}) != []
    assert complaints({"name": "a", "hooks": {"setpu": "x"}}) != []


@pytest.mark.parametrize(
    "data",
    [
        {"environment": [{"name": "A", "required": "yes"}]},
        {"environment": [{"name": "A", "depends_on": {"B": 1}}]},
        {"patterns": {"supported": "single-vm, gateway"}},
        {"logging": ["a"]},
        {"status": {"check_interval": 60}},
    ],
    ids=["yes", "depends_on", "supported", "logging", "interval"],
)
def test_other_shapes_that_the_loader_takes_fit_the_schema(data: dict[str, Any]) -> None:
    manifest(data)
    assert complaints({"name": "a", **data}) == []


# Scaffold


@pytest.mark.parametrize(("folder", "name"), [("my-app", "my-app"), ("My App_2!", "my-app-2"), ("日本", "my-app"), ("-x-", "x")])
def test_a_new_app_validates_strictly_and_is_called_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    written = scaffold.write_app(tmp_path / "deep" / folder)
    assert all(path.is_file() for path in written)
    app = load_app(tmp_path / "deep" / folder, strict=True)
    assert (app.problems, app.manifest.name, app.manifest.pattern_name) == ((), name, "single-vm")
    assert complaints(yaml.safe_load(app.manifest_path.read_text())) == []
    assert {path.name: path.stat().st_mode & 0o111 for path in written if path.suffix == ".sh"} == {
        "setup.sh": 0o111, "configure.sh": 0o111, "healthcheck.sh": 0o111,
    }  # fmt: skip


def test_a_new_app_may_be_named_and_stand_in_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    scaffold.write_app(tmp_path, "chosen")
    assert load_app(tmp_path).manifest.name == "chosen"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_init_never_overwrites_anything(tmp_path: Path) -> None:
    (tmp_path / "deployment").mkdir()
    (tmp_path / "deployment" / "setup.sh").write_text("mine")
    with pytest.raises(ManifestError, match="setup.sh exists already") as caught:
        scaffold.write_app(tmp_path)
    assert caught.value.code == "app-exists"
    assert (tmp_path / "deployment" / "setup.sh").read_text() == "mine"
    assert not (tmp_path / "tfgrid-compose.yaml").exists()


def test_a_place_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match="can't be written") as caught:
        scaffold.write_app(tmp_path / "file" / "app")
    assert caught.value.code == "app-unwritable"


@pytest.mark.parametrize("folder", ["2024", "on", "null", "a" * 80])
def test_a_new_app_validates_whatever_its_folder_is_called(tmp_path: Path, folder: str) -> None:
    scaffold.write_app(tmp_path / folder)
    assert load_app(tmp_path / folder)


# Names of the system


@pytest.mark.parametrize("name", ["apt", "dpkg", "systemd", "dbus", "python", "git"])
def test_a_name_whose_data_folder_is_the_systems_is_refused(app_folder: Path, name: str) -> None:
    with pytest.raises(ManifestError, match=f"/var/lib/{name} is not the app's"):
        load(app_folder, f"name: {name}\n")


@pytest.mark.parametrize("name", ["apt-mirror", "my-git", "nginx", "redis", "postgres", "root", "mail", "docker"])
def test_other_names_are_taken(app_folder: Path, name: str) -> None:
    assert load(app_folder, f"name: {name}\n").manifest.name == name


def test_init_proposes_and_takes_no_name_of_the_system(tmp_path: Path) -> None:
    scaffold.write_app(tmp_path / "git")
    assert load_app(tmp_path / "git").manifest.name == "my-git"
    with pytest.raises(ManifestError, match="can't be the name") as caught:
        scaffold.write_app(tmp_path / "other", "dpkg")
    assert "/var/lib/dpkg" in caught.value.why
