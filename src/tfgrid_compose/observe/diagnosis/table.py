"""All rows in the order in which they are tried: the special ones stand before those that only say that it failed."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis import (
    account,
    ansible,
    capacity,
    chain,
    contracts,
    hooks,
    limits,
    packages,
    reachability,
    ssh,
    system,
    terraform,
    timeouts,
    wireguard,
    workload,
)

GROUPS = (
    ("Account", account.ROWS),
    ("Contracts and gateways", contracts.ROWS),
    ("Room on the grid", capacity.ROWS),
    ("Machines, networks and disks", workload.ROWS),
    ("Chain", chain.ROWS),
    ("Relay, nodes and directory", reachability.ROWS),
    ("Terraform", terraform.ROWS),
    ("Login", ssh.ROWS),
    ("Limits of the kernel", limits.ROWS),
    ("Tunnel", wireguard.ROWS),
    ("Ansible", ansible.ROWS),
    ("Packages", packages.ROWS),
    ("Scripts of the app", hooks.SCRIPTS),
    ("System", system.ROWS),
    ("Packages that did not arrive", packages.GENERAL),
    ("How hooks end", hooks.ENDINGS),
    ("Grid that does not answer", timeouts.ROWS),
)
