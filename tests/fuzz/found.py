"""What fuzzing has found, one input for each defect. Each of them once ended in an error that nobody explains."""

from __future__ import annotations

import json
from typing import Any

from tfgrid_compose.state.database import with_checksum
from tfgrid_compose.state.whoami import host

_QUIET: tuple[int, bytes, bytes] = (0, b"", b"")


def _typed(
    line: str, answers: tuple[int, bytes, bytes] = _QUIET, encoding: str = "utf-8", stdin: bytes = b"", **environment: str
) -> Any:
    return line.split(), stdin, encoding, environment, answers


def _network(**changed: Any) -> Any:
    seed = {"name": "net_a", "nodes": [1, 2], "ip_range": "10.9.0.0/16", "add_wg_access": True, "mycelium_keys": {"1": "aa" * 32}}
    return "life", {"type": "grid_network", "configs": [{**seed, **changed}], "half_known": None}


def _machine(**changed: Any) -> Any:
    vm = {"name": "vm", "cpu": 1, "memory": 1024, "rootfs_size": 2048, "flist": "x.flist", **changed}
    return "life", {
        "type": "grid_deployment",
        "configs": [{"name": "a", "node": 1, "network_name": "net", "vms": [vm]}],
        "half_known": None,
    }


def _contract(**changed: Any) -> Any:
    whole = {"contract_id": 7, "twin_id": 3, "state": "Created", "type": "node", "details": {}, **changed}
    return {"/contracts/7": json.dumps(whole)}, {}, ["/contracts/7"]


def _row(table: str, column: str, value: Any, *words: str, version: int = 2) -> Any:
    return version, [("set", table, column, 0, value)], words


def _record(**changed: Any) -> bytes:
    whole = {"user": "a", "host": host(), "pid": 2**22 + 7, "command": "tfgrid-compose up", "start": 1, "born": 5}
    return json.dumps({key: value for key, value in {**whole, **changed}.items() if value != "none"}).encode()


# target: {what it was: the input}
FOUND: dict[str, dict[str, Any]] = {
    "manifest": {
        "half of a sign, by its escape": (b'name: a\nhooks: {configure: "\\ud800"}', False),
    },
    "pattern": {
        "a playbook with a name that no file can have": (json.dumps({
            "name": "single-vm", "version": "1", "description": "", "roles": {"vm": {}}, "variables": {}, "platform": "a" * 300}).encode(), {}),
    },
    "ignore": {
        "brackets that Python warns of": (b"[[]", True, []),
        "stars in a row and a long name": (b"*" * 40 + b"b/a", True, [((b"a" * 250, b"a"), "file")]),
        "many stars and a long name": (b"*a" * 12 + b"b", True, [((b"a" * 250,), "file")]),
    },
    "archive": {
        "no archive": ("bytes", b"\x1f\x8b no"),
        "an archive that ends too early": ("tar", b"\0" * 100),
        "a pipe, and a file in its place": ("members", [(" ", b"6", "a", 0o644), (" ", b"0", "a", 0o644)]),
        "a way out": ("members", [("../out", b"0", "a", 0o644)]),
        "a link to itself": ("members", [("a\\b", b"2", "a\\b", 0o777)]),
        "a link without a name": ("members", [("", b"2", "", 0)]),
    },
    "statefile": {
        "a list where an object was": _row("deployments", "data", "[1]", "ps"),
        "machines that are none": _row("deployments", "data", '{"machines": 5}', "ps"),
        "a machine without a node": _row("deployments", "data", with_checksum({"machines": [{"a": 1}]}), "status", "web"),
        "an address that is a number": _row("deployments", "data", '{"machines": [{"node": 1, "address": 7}]}', "ps"),
        "a machine with a name and no node": _row("deployments", "data", '{"machines": [{"name": "", "role": ""}]}', "ps"),
        "a folder that no path leads to": _row("deployments", "data", '{"app_dir": "\\u0000"}', "secrets", "list", "web"),
        "a column of another name": (2, [("rename", "deployments", "updated", "other")], ("ps",)),
        "a kind of address that there is none of": _row("deployments", "data", with_checksum({
            "pattern": "single-vm", "prefer": ["-"], "machines": [{"name": "a", "role": "vm", "node": 1, "contract": "1"}]}), "address", "web"),
        "a version that is nothing": _row("releases", "data", '{"version": null}', "history", "web"),
        "an id that is no text": _row("deployments", "id", b"", "inspect", "web"),
        "no id": _row("deployments", "id", None, "state", "check", "--json"),
        "who it was is no text": _row("releases", "who", b"", "history", "web"),
        "a time that is none": _row("steps", "ended", b"x", "runs", "show", "1"),
        "a seal of nobody": _row("seals", "deployment", None, "state", "check", "--no-grid"),
        "a secret without a name": _row("secrets", "name", b"", "secrets", "list", "web"),
        "nested too deeply": _row("deployments", "data", "[" * 100_000, "ps"),
    },
    "keyfile": {"an anchor without end": (json.dumps({"version": 2, "source": "file", "keys": {
        "ring": ["A" * 43 + "="], "fingerprint": "A" * 43 + "="}}).encode(), b'\n{"generation": Infinity}', b"", False)},
    "backup": {
        "an export of deployments that are none": ("member", ("facts.json", b'{"format": 1, "deployments": [["0"]]}', False)),
        "an export of deployments by names of keys": ("member", ("facts.json", b'{"format": 1, "deployments": [{"a": 1, "b": 2, "c": 3}]}', True)),
        "an export that lacks what it lists": ("member", ("facts.json", b'{"format": 1, "deployments": [["x", "y", "z"]]}', False)),
        "an export with secrets of nobody": ("member", ("secrets.json", b'[[["x"], "ssh", "QQ=="]]', False)),
    },
    "lease": {
        "a record without a command": _record(command="none"),
        "a start that is none": _record(start=[]),
        "a number of no process": _record(pid="x"),
    },
    "events": {"a text that is none, in the journal": ([], [("progress", "setup", "\udcff", "", 0)], 3)},
    "terraform": {
        "a message that is a list": ("lines", '{"@message": [""]}'),
        "a diagnostic that is a text": ("lines", '{"diagnostic": "no", "type": "diagnostic"}'),
        "a summary that is an object": ("lines", '{"diagnostic": {"severity": "error", "summary": {"a": 1}}}'),
        "drift of nothing": ("drift", '{"type": "resource_drift"}'),
        "outputs that are none": ("outputs", "02"),
        "an output without a value": ("outputs", '{"a": {}}'),
        "a state that was cut off": ("state", '{"resources": [{"inst'),
        "a contract number in other digits": ("state", '{"resources": [{"instances": [{"attributes": {"id": "\\u00b2"}}]}]}'),
        "a key without a value": ("config", "PrivateKey"),
        "a machine without a name": ("machines", '{"machines": [{"role": "vm"}], "contracts": {}}'),
        "no contracts": ("machines", '{"machines": [{"name": "a", "role": "vm", "node": 1, "contract": "1"}]}'),
    },
    "ansible": {
        "a line that was never finished": (b'{"event": "res', []),
        "no text": (b"\x94\n", []),
        "a result without its facts": (b'{"event": "result", "status": "failed"}\n', []),
    },
    "provider": {
        "a number that is not whole": _machine(cpu="1.1"),
        "a number that no machine word holds": _machine(memory=str(10**30)),
        "nothing in a list of nodes": _network(nodes=[1, None]),
        "a key without a value": _machine(env_vars={"SSH_KEY": None}),
        "a node that is no number": _network(mycelium_keys={"\ufeff": "aa" * 32}),
        "a subnet that is none": _network(nodes_ip_range={"1": "x.flist"}),
        "a node without a subnet": _network(nodes_ip_range={"7": None}),
        "a stop that can't be read": ("wire", ("Stop", b"!")),
    },
    "gridproxy": {
        "a contract of a year that no calendar has": _contract(created_at=2**62),
        "a contract before there was time": _contract(created_at=-(2**62)),
        "a farm whose number is longer than numbers are": ({}, {}, ["nodes", "farm", "9" * 5000]),
    },
    "words": {
        "signs that the locale lacks": _typed("doctor", encoding="iso8859-1"),
        "lines of `ip` that are none": _typed("plan classic --network main --node 7", (0, b"broadcast\n\n1: lo\njunk\n", b"")),
        "routes that are none": _typed("plan classic --network main --node 7", (0, b"10.999.0.0/99 x\n", b"")),
        "a machine without `ps`": _typed("status web", (0, b"0.1\n10% 5G\n", b"")),
        "a folder whose name is no text": (["secrets", "list", "odd \udcff"], b"", "utf-8", {}, _QUIET),
        "a value for a folder whose name is no text": (["secrets", "set", "odd \udcff", "CLASSIC_MESSAGE"], b"x", "utf-8", {}, _QUIET),
        "an app with a name that no file can have": _typed(f"secrets set {'a' * 300} A", stdin=b"x"),
        "a new app in a link to itself": _typed("init loop"),
    },
}  # fmt: skip
