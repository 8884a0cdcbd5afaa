"""The manifests: every combination of networks with disks and sizes, then what is odd on its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.conformance.render import Case

NETWORKS = [
    list(chosen) for size in (1, 2, 3, 4) for chosen in itertools.combinations(("mycelium", "wireguard", "ipv4", "ipv6"), size)
]
DISKS: list[list[dict[str, Any]]] = [
    [],
    [{"name": "data", "size": 1, "mount": "/data"}],
    [{"name": "a" * 36, "size": "10240G", "mount": "/srv/a"}, {"name": "b_2", "size": 50, "mount": "/var/lib/b.c/d-e_f"}],
]
# The smallest and the largest that the provider takes, what the pattern gives, and something between.
SIZES: list[dict[str, Any]] = [
    {"cpu": 1, "memory": 256, "disk": 1},
    {},
    {"cpu": {"min": 2, "recommended": 3}, "memory": {"min": "1.5G"}, "disk": {"recommended": "100G"}},
    {"cpu": 32, "memory": "256G", "disk": 10240},
]
NAMES = ["a", "A.b-c_d", "0" * 63, "x" * 62 + "-", "9.9.9"]
TEXTS = ['https://hub.grid.tf/ü/${x}/%{y}/"quoted".flist', "https://hub.grid.tf/back\\slash'.flist", "https://h/a\nb\t.flist"]


def single_vm(pattern: str) -> Iterator[Case]:
    """All of them for a pattern with the role `vm`."""
    for networks, disks, sizes in itertools.product(NETWORKS, DISKS, SIZES):
        yield Case(pattern, {"name": "app", "network": {"provision": networks}, "disks": disks, "resources": sizes})
    yield from (Case(pattern, {"name": name}) for name in NAMES)
    yield from (Case(pattern, {"name": "texts"}, options={"vm_flist": text, "vm_entrypoint": text}) for text in TEXTS)
    yield Case(pattern, {"name": "role", "resources": {"cpu": 2, "vm": {"cpu": 8, "memory": "16G"}}})
    yield Case(pattern, {"name": "ports", "resources": {"ports": [22, 80, 443, {"number": 53, "protocol": "udp"}]}})
    for overrides in ({"size": "dev"}, {"size": "large"}, {"cpu": 32, "memory": 262144, "disk": 10240}, {"cpu": 1}):
        yield Case(pattern, {"name": "given", "network": {"mode": "both", "public_ipv4": True}}, overrides=overrides)


def many_roles(pattern: str) -> Iterator[Case]:
    """For a pattern with several roles: networks, disks, and how many machines there are."""
    resources = {"gateway": {"cpu": 1}, "backend": {"cpu": 32, "memory": "256G"}, "worker": {"disk": 10240}}
    for number, networks in enumerate(NETWORKS):
        disks = DISKS[number % len(DISKS)]
        yield Case(pattern, {"name": "app", "network": {"provision": networks}, "disks": disks, "resources": resources})
    for workers, backends in ((0, 1), (1, 3), (10, 10)):
        yield Case(pattern, {"name": "counts"}, counts={"worker": workers, "backend": backends})
    yield Case(pattern, {"name": "tls", "resources": {"ports": [443]}}, options={"tls_passthrough": "true", "zdb_size": "1"})
