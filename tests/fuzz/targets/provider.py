"""The local grid's Terraform provider: configurations that Terraform would pass on, and bytes that it never would."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz import mutate
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Refused, Target
from tests.integration import fake_engine
from tfgrid_compose.localgrid import engine, networks
from tfgrid_compose.localgrid.provider import messages, schema, server
from tfgrid_compose.localgrid.provider.app import LocalProvider
from tfgrid_compose.localgrid.provider.messages import message, parse
from tfgrid_compose.localgrid.provider.values import UNKNOWN, decode, encode

_WORDS = "words of a test"
_NETWORK: dict[str, Any] = {
    "name": "net_a", "nodes": [1, 2], "ip_range": "10.9.0.0/16", "add_wg_access": True, "solution_type": "vm/a", "description": "",
    "mycelium_keys": {"1": "aa" * 32},
}  # fmt: skip
_DEPLOYMENT: dict[str, Any] = {
    "name": "vm_a", "node": 1, "network_name": "net", "solution_type": "vm/a", "disks": [{"name": "data", "size": 5}],
    "vms": [{"name": "vm", "cpu": 2, "memory": 2048, "rootfs_size": 4096, "flist": "https://hub/x.flist", "entrypoint": "/sbin/zinit init", "publicip": True,
             "mycelium_ip_seed": "0102030405ff", "env_vars": {"SSH_KEY": "ssh-ed25519 AAAA a"}, "mounts": [{"name": "data", "mount_point": "/data"}]}],
}  # fmt: skip
_SEEDS = {"grid_network": _NETWORK, "grid_deployment": _DEPLOYMENT}
_ODD: dict[str, tuple[Any, ...]] = {
    "string": ("10.9.0.0/16", "10.9.0.0/15", "10.9.1.0/16", "0.0.0.0/0", "::/16", "10.9.2.0/24", "10.9.1.2", "10.5.1.2", "10.5.1.1", "999.0.0.1", "aa" * 32, "zz",
               "ff" * 6, "00" * 6, "0102", "net", "ygg", "vm", "data", "x.flist", "x.fl", "a" * 40, "a" * 36, "/data", "a,b", "1", "7", "-1", "1.5", "0x1"),
    "number": (0, 1, 2, 3, 4, 5, 6, 7, 32, 33, 250, 256, 1024, 10240, 262144, -1, 1.5, 2**31, 2**53, 2**63 - 1, 1e15, str(10**30), "1e400", "0.1"),
    "bool": (True, False),
}  # fmt: skip
_CALLS = sorted(server._CALLS)


class Fuzz(Target):
    """Calls as Terraform makes them, from `validate` to destroying; and every call with changed bytes."""

    name, share, shrinks = "provider", 12, False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._patch = pytest.MonkeyPatch()
        self._kernel = fake_engine.install(self._patch)
        self._patch.setattr(engine, "require_root", lambda: None)
        self._engine = fake_engine.open_engine(folder)
        provider = LocalProvider(lambda: self._engine)
        self._service = server.Service(provider)
        provider.configure({"mnemonic": _WORDS})
        provider.resource("grid_network")
        networks.apply(
            self._engine,
            1,
            networks.NetworkConfig("net", "10.5.0.0/16", (1, 2, 3), {1: "bb" * 32}, True, networks.wireguard_pair()[1]),
        )
        self._ledger = sqlite3.connect(":memory:")
        self._engine.ledger._db.backup(self._ledger)

    def close(self) -> None:
        self._ledger.close()
        self._engine.close()
        self._patch.undo()

    def case(self, chance: Random) -> tuple[str, Any]:
        kind = chance.random()
        if kind < 0.25:
            call = chance.choice(_CALLS)
            return "wire", (
                call,
                mutate.raw(chance, self._request(chance, call)) if kind < 0.2 else self._request(chance, call, odd=True),
            )
        name = chance.choice(schema.RESOURCES)
        block = schema.resource_block(name)
        configs = [self._config(chance, block, _SEEDS[name]) for _ in range(chance.choice((1, 1, 2)))]
        half_known = _with_unknown(chance, block, configs[0]) if chance.random() < 0.4 else None
        return "life", {"type": name, "configs": configs, "half_known": half_known}

    def _config(self, chance: Random, block: schema.Block, seed: dict[str, Any]) -> dict[str, Any]:
        found = {
            key: [dict(one) if isinstance(one, dict) else one for one in item] if isinstance(item, list) else item
            for key, item in seed.items()
        }
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            _change(chance, block, found)
        return found

    def _request(self, chance: Random, call: str, odd: bool = False) -> bytes:
        """A request of a call; with `odd`, values that no schema allows."""
        name = chance.choice((*schema.RESOURCES, "grid_kubernetes", "") if odd else schema.RESOURCES)
        seed = _SEEDS.get(name, _NETWORK)
        fields: dict[str, Any] = {}
        for field, (_, kind) in messages._TABLE[server._CALLS[call][1]].items():
            if kind == "DynamicValue":
                fields[field] = self._dynamic(chance, seed, odd)
            elif field == "type_name":
                fields[field] = name
            elif field == "raw_state":
                fields[field] = message("RawState", json=json.dumps(mutate.tree(chance, seed) if odd else seed).encode())
        return bytes(message(server._CALLS[call][1], **fields).SerializeToString())

    def _dynamic(self, chance: Random, seed: dict[str, Any], odd: bool) -> Any:
        if chance.random() < 0.2:
            return encode(None)
        tree = mutate.tree(chance, seed) if odd else seed
        if chance.random() < 0.3:
            return message("DynamicValue", json=json.dumps(tree).encode())
        try:
            return encode(tree)
        except (OverflowError, ValueError, TypeError):  # Larger than msgpack's numbers, or half a sign.
            return message("DynamicValue", msgpack=chance.randbytes(20))

    # Running

    def run(self, case: tuple[str, Any]) -> None:
        kind, what = case
        try:
            if kind == "wire":
                self._send(what[0], what[1])
            else:
                self._live(what)
        finally:
            for found in (self._kernel.specs, self._kernel.stopped, self._kernel.routers, self._kernel.calls):
                found.clear()  # type: ignore[attr-defined]
            self._ledger.backup(self._engine.ledger._db)

    def _send(self, call: str, request: bytes) -> Any:
        _, _, response = server._CALLS[call]
        return parse(response, server.handler(self._service, call)(request, None))

    def _ask(self, call: str, **fields: Any) -> Any:
        """The reply to a call with values that fit the schema: then nothing is a failure of ours."""
        reply = self._send(call, message(server._CALLS[call][1], **fields).SerializeToString())
        for found in reply.diagnostics:
            if found.summary.startswith("the local grid failed"):
                raise Unclean(f"{call}: {found.summary}")
            raise Refused(found.summary or "?")
        return reply

    def _live(self, what: dict[str, Any]) -> None:
        name = what["type"]
        block = schema.resource_block(name)
        if what["half_known"] is not None:
            config = _complete(block, what["half_known"])
            self._ask("ValidateResourceTypeConfig", type_name=name, config=encode(config))
            self._ask(
                "PlanResourceChange",
                type_name=name,
                prior_state=encode(None),
                proposed_new_state=encode(config),
                config=encode(config),
            )
        state: Any = None
        for written in what["configs"]:
            config = _complete(block, written)
            self._ask("ValidateResourceTypeConfig", type_name=name, config=encode(config))
            proposed = _proposed(block, config, state)
            plan = self._ask(
                "PlanResourceChange",
                type_name=name,
                prior_state=encode(state),
                proposed_new_state=encode(proposed),
                config=encode(config),
            )
            applied = self._ask(
                "ApplyResourceChange",
                type_name=name,
                prior_state=encode(state),
                planned_state=plan.planned_state,
                config=encode(config),
            )
            state = decode(self._ask("ReadResource", type_name=name, current_state=applied.new_state).new_state)
            if state is None:
                raise Unclean("what was just made is gone")
        self._ask(
            "ApplyResourceChange", type_name=name, prior_state=encode(state), planned_state=encode(None), config=encode(None)
        )
        if decode(self._ask("ReadResource", type_name=name, current_state=encode(state)).new_state) is not None:
            raise Unclean("what was destroyed is still there")


# Values that fit the schema, as Terraform guarantees it


def _value(chance: Random, kind: Any, required: bool = False) -> Any:
    if not required and chance.random() < 0.15:
        return None
    if isinstance(kind, list):
        many = [_value(chance, kind[1], chance.random() < 0.8) for _ in range(chance.randrange(4))]
        return many if kind[0] in ("list", "set") else {chance.choice(("1", "2", "3", _text(chance))): item for item in many}
    if kind == "string" and chance.random() < 0.5:
        return _text(chance)
    return chance.choice(_ODD[kind])


def _text(chance: Random) -> str:
    return mutate.text(chance).encode("utf-8", "ignore").decode() if chance.random() < 0.5 else str(chance.choice(_ODD["string"]))


def _writable(block: schema.Block) -> list[str]:
    return [name for name, raw in block.attributes.items() if raw.get("required") or raw.get("optional")]


def _change(chance: Random, block: schema.Block, config: dict[str, Any]) -> None:
    """Change one value of a configuration, or one item of its blocks."""
    children = [(name, child) for name, raw, child in block.children() if raw["nesting_mode"] == "list"]
    if children and chance.random() < 0.6:
        name, child = chance.choice([one for one in children if config.get(one[0])] or children)
        items = config.setdefault(name, [])
        if items and chance.random() < 0.7:
            _change(chance, child, chance.choice(items))
        elif items and chance.random() < 0.5:
            items.pop(chance.randrange(len(items))) if chance.random() < 0.5 else items.append(dict(chance.choice(items)))
        else:
            items.append(_fresh(chance, child))
        return
    name = chance.choice(_writable(block))
    raw = block.attributes[name]
    config[name] = _value(chance, raw["type"], bool(raw.get("required")))


def _fresh(chance: Random, block: schema.Block) -> dict[str, Any]:
    found = {
        name: _value(chance, raw["type"], bool(raw.get("required")))
        for name, raw in block.attributes.items()
        if name in _writable(block)
    }
    for name, raw, child in block.children():
        if raw.get("min_items"):
            found[name] = [_fresh(chance, child)]
    return found


def _complete(block: schema.Block, config: dict[str, Any]) -> dict[str, Any]:
    """With null where nothing is written, and all blocks."""
    found: dict[str, Any] = {name: config.get(name) for name in block.attributes}
    for name, raw, child in block.children():
        items = config.get(name)
        single = raw["nesting_mode"] == "single"
        found[name] = items if items is UNKNOWN else None if single else [_complete(child, item) for item in items or []]
    return found


def _with_unknown(chance: Random, block: schema.Block, config: dict[str, Any]) -> dict[str, Any]:
    """The same before everything is known: single values, elements, or whole blocks of a `dynamic`."""
    found, children = dict(config), {name: child for name, _, child in block.children()}
    for name in found:
        if name in children:
            child = children[name]
            found[name] = UNKNOWN if chance.random() < 0.2 else [_with_unknown(chance, child, item) for item in found[name]]
        elif chance.random() < 0.25:
            inner = found[name]
            found[name] = [UNKNOWN, *inner] if isinstance(inner, list) and chance.random() < 0.5 else UNKNOWN
            if isinstance(inner, dict) and chance.random() < 0.5:
                found[name] = dict.fromkeys(inner, UNKNOWN)
    return found


def _proposed(block: schema.Block, config: dict[str, Any], prior: dict[str, Any] | None) -> dict[str, Any]:
    """What Terraform proposes: the configuration, with computed values of the state where nothing is written."""
    if prior is None:
        return config
    found = dict(config)
    for name, raw in block.attributes.items():
        if raw.get("computed") and found.get(name) is None:
            found[name] = prior.get(name)
    for name, raw, child in block.children():
        if raw["nesting_mode"] == "list":
            before = prior.get(name) or []
            found[name] = [
                _proposed(child, item, before[at] if at < len(before) else None) for at, item in enumerate(config[name])
            ]
    return found
