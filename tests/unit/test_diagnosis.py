"""Known failures: every text that outside programs are known to write finds its row, and ordinary output finds none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.errors import (
    BusyError,
    EnvironmentError_,
    GridError,
    HookError,
    InfrastructureError,
    InterruptedError_,
    ManifestError,
    NotFoundError,
    PatternError,
    PlatformError,
    ReachError,
    StateError,
    TfgridError,
    TunnelError,
    UsageError,
)
from tfgrid_compose.observe import diagnosis, error_pages
from tfgrid_compose.observe.diagnosis import Failure, all_failures, diagnose, explained, find
from tfgrid_compose.observe.diagnosis.text import MAX_LINE, MAX_LINES, PLACES, scopes_of, text_of

Make = Callable[[str], TfgridError]


def grid(text: str) -> TfgridError:
    """As Terraform passes the provider's words on."""
    return InfrastructureError("`terraform apply` failed", why=text, log="/l")


def init(text: str) -> TfgridError:
    """Terraform before it has asked any provider; it writes no JSON then, so the text is the last lines."""
    lines = text.splitlines()
    return InfrastructureError("`terraform init` failed", why=lines[-1], details=lines)


def hook(text: str) -> TfgridError:
    return HookError("hook setup failed", why="it exited with 1 after 3.1 s", details=text.splitlines(), fix="mend it")


def ended(text: str) -> TfgridError:
    return HookError("hook setup failed", why=text, details=["Setting up the app"], fix="mend it")


def task(text: str) -> TfgridError:
    return PlatformError("Ansible failed on vm in task «Install»", why=text, log="/l")


def lost(text: str) -> TfgridError:
    return PlatformError("Ansible lost vm in task «Install»", why=text)


def login(text: str) -> TfgridError:
    return ReachError("the connection to vm (10.5.3.2) failed", why=text)


def tunnel(text: str) -> TfgridError:
    return TunnelError("the tunnel wg-app did not come up", why=text, fix="tfgrid-compose doctor")


def here(text: str) -> TfgridError:
    return EnvironmentError_("`mmdebstrap` failed", why="it exited with 1", details=text.splitlines())


# (how the text reaches us, the code it must be diagnosed with, the texts). Section numbers are those of the facts
# about the grid from which the texts were taken.
KNOWN: list[tuple[Make, str, list[str]]] = [
    # 3a: account and identity
    (grid, "mnemonic-invalid", [
        "error creating threefold plugin client: mnemonic/seed 'one two three' is invalid",
        "error creating threefold plugin client: mnemonic/seed is empty",
    ]),
    (grid, "provider-argument", [
        'Missing required argument: The argument "mnemonic" is required, but no definition was found.',
        'The argument "mnemonics" is not expected here. Did you mean "mnemonic"?',
        'Unsupported argument: An argument named "mnemonics" is not expected here. Did you mean "mnemonic"?',
        'Unsupported argument: An argument named "mnemonic" is not expected here. Did you mean "mnemonics"?',
    ]),
    (grid, "pattern-argument", [
        'Too many master blocks: No more than 1 "master" blocks are allowed',
        'Unsupported argument: An argument named "disk_name" is not expected here.',
        'Missing required argument: The argument "memory_size" is required, but no definition was found.',
    ]),
    (grid, "account-not-activated", [
        "error creating threefold plugin client: could not validate substrate account: account not found",
        "account not found", "could not validate substrate account",
    ]),
    (grid, "key-type-mismatch", [
        "found an account with ed25519 key type and the same mnemonics, make sure you provided the correct key type",
    ]),
    (grid, "key-type-unknown", ["key type must be one of [ed25519 sr25519]"]),
    (grid, "balance-low", [
        "error creating threefold plugin client: account contains 0.532100 tft, min fee is 2 tft",
        # What wraps it names a leftover contract, but without TFT nothing can be cancelled.
        "error cancelling contract: account contains 1.100000 tft, min fee is 2 tft",
    ]),
    (grid, "twin-missing", [
        "no twin associated with the account with the given mnemonic/seed", "TwinNotExists", "failed to get twin: twin not found",
    ]),
    (grid, "terms-not-signed", ["failed to create contract: UserDidNotSignTermsAndConditions"]),
    (grid, "twin-not-verified", ["user with twin id 8021 is not verified"]),
    (grid, "fee-unpayable", [
        "1010: Invalid Transaction: Inability to pay some fees (e.g. account balance too low)", "insufficient balance for fee",
        "failed to submit extrinsic: Inability to pay some fees",
    ]),
    (grid, "transaction-invalid", ["1010: Invalid Transaction: Invalid signing address"]),
    (grid, "endpoint-invalid", [
        "could not validate relay url: 'http://x' is invalid", "could not validate substrate url: y",
        "proxy url is invalid: http://127.0.0.1",
    ]),
    # 3b: chain
    (grid, "chain-unreachable", [
        "could not get substrate client: error connecting to substrate at 'wss://tfchain.grid.tf/ws': websocket: bad handshake",
        "error connecting to substrate at 'wss://tfchain.grid.tf/ws': dial tcp 185.206.122.7:443: i/o timeout",
        "error getting latest metadata at 'wss://tfchain.grid.tf/ws'",
    ]),
    (grid, "grid-no-connection", [
        'dial tcp 1.2.3.4:443: connect: network is unreachable',
        "dial tcp 185.206.122.74:443: i/o timeout", "dial tcp 1.2.3.4:443: connect: connection refused"]),
    (grid, "dns-here", ["dial tcp: lookup some.grid.tf on 127.0.0.53:53: no such host", "no such host"]),
    (grid, "chain-behind", [
        "node 'wss://tfchain.grid.tf/ws' is behind acceptable delay with timestamp 2026-01-01 00:00:00 +0000 UTC",
    ]),
    (grid, "chain-slow", ["extrinsic timeout waiting for block", "failed to submit extrinsic: websocket closed"]),
    (grid, "transaction-race", [
        "failed to submit extrinsic: 1014: Priority is too low: (35 vs 35)", "1010: Invalid Transaction: Transaction is outdated",
        "extrinsic 0x12ab is usurped",
    ]),
    (grid, "node-without-chain", [
        "failed to get twin public key: connection closed",
        "couldn't get twin public key: dial tcp 185.206.122.74:443: i/o timeout",
    ]),
    # 3c: relay and nodes
    (grid, "relay-unreachable", [
        "could not create rmb client: wrong twin", "failed to connect (wss://relay.grid.tf): websocket: bad handshake",
        "failed to reconnect", "connection timeout", "connection stalling",
    ]),
    (grid, "twin-relay", ["could not update twin relay information: timeout"]),
    (grid, "node-unreachable", [
        "could not reach node 11: context deadline exceeded", "failed to get node features '11': context deadline exceeded",
        "could not get node 11 client: not connected", "couldn't load network data: failed to get node features '7': timeout",
    ]),
    (grid, "grid-timeout", [
        'Get "https://gridproxy.grid.tf/nodes/11": net/http: request canceled (Client.Timeout exceeded while awaiting headers)',
        "context deadline exceeded"]),
    (grid, "clock-wrong", ["message is too old, sent since 68s"]),
    (grid, "node-not-found", ["failed to get node 4711: object not found", "failed to get node 4711: node not found"]),
    (grid, "gridproxy-down", [
        "could not get node 11 data from the grid proxy: 502", "could not validate rmb proxy server: bad gateway",
    ]),
    # 3d: choice of nodes and capacity
    (grid, "no-node-fits", [
        "couldn't schedule request vm: couldn't find a node satisfying the given requirements",
        "could not find enough nodes with specified options",
    ]),
    (grid, "node-full", [
        "node 11 does not have enough resources. needed: [mru: 4294967296, sru: 53687091200, hru: 0], "
        "free: [mru: 1073741824, sru: 0, hru: 0]", "NotEnoughResourcesOnNode",
    ]),
    (grid, "disk-shrinks", ["rootfs of vm can't shrink from 10240 MB to 5120 MB"]),
    (grid, "node-memory", [
        "workload vm within deployment 5 failed with error: failed to satisfy required capacity: "
        "cannot fulfil required memory size 4294967296 bytes out of usable 1073741824 bytes",
    ]),
    (grid, "node-disk-full", [
        "workload vm failed with error: write /mnt/x: no space left on device", "Not enough space left in pools of this type ssd",
    ]),
    (grid, "no-public-ip", [
        "farm 1 does not have enough public ips", "FarmHasNotEnoughPublicIPs", "FarmHasNotEnoughPublicIPsFree", "FailedToReserveIP",
        "public ipv4 is requested, but not supported on this node",
    ]),
    (grid, "public-ip-added", ["currently, it's not possible to increase the number of reserved public ips in a deployment"]),
    (grid, "no-access-point", [
        "failed to get public node: no nodes with public ipv4", "no nodes with public ipv4",
        "failed to get public node for net_a1b2",
    ]),
    (grid, "node-reserved", ["failed to create contract on node 11: NodeNotAvailableToDeploy"]),
    (grid, "rent-conflict", ["NodeHasRentContract", "NodeHasActiveContracts"]),
    (grid, "gpu-not-rented", ["usage of GPU is not allowed unless node is rented"]),
    (grid, "node-not-found", ["NodeNotExists", "FarmNotExists"]),
    # 3e: contracts and names
    (grid, "contract-duplicate", ["failed to create contract on node 11: ContractIsNotUnique"]),
    (grid, "gateway-name-taken", ["failed to create name contract: NameExists"]),
    (grid, "gateway-name-invalid", ["NameNotValid", "NameContractNameTooShort", "NameContractNameTooLong"]),
    (grid, "name-contract-missing", [
        "a name contract with the given name must be reserved first", "twin id mismatch",
        "the name contract must be in Created or GracePeriod state",
    ]),
    (grid, "domain-taken", ["domain already registered: www.example.com"]),
    (grid, "dns-not-set", ["failed to verify domain dns record", "host doesn't point to the gateway ip"]),
    (grid, "not-a-gateway", [
        "node 11 cannot deploy a gateway name workload as it does not have a domain configured",
        "node doesn't support name proxy", "node 11 doesn't contain a domain in its public config",
        "node 11 does not have a public ipv4 configured",
    ]),
    (grid, "gateway-backend", [
        "can't create a fqdn workload with a subdomain of the gateway's managed domain",
        "backend http://1.2.3.4 points to the node's own public IP address", "only one backend is supported",
        "scheme expected to be http", "invalid ip address in backend: x",
    ]),
    (grid, "contract-gone", ["ContractNotExists", "failed to delete deployment: 4711", "failed to update deployment 5: ContractNotExists"]),
    (grid, "contract-of-another", ["TwinNotAuthorizedToCancelContract", "TwinNotAuthorizedToUpdateContract"]),
    (grid, "contract-paused", [
        'state GracePeriod',
        "CannotUpdateContractInGraceState", "contract 5 is in state GracePeriod", "workload vm state within deployment 5 is paused",
    ]),
    (grid, "workload-deleted", ["workload vm state within deployment 5 is deleted"]),
    (grid, "contract-orphan", ["error cancelling contract: timed out; you must cancel it manually (id: 4711)"]),
    (grid, "revert-failed", ["failed to revert deployments: x"]),
    (grid, "node-record-conflict", [
        "failed to deploy on node 11: exists", "failed to deploy on node 11: conflict", "exists", "conflict",
        "deployment does not exist",
    ]),
    (grid, "contract-hash", ["contract hash does not match deployment hash", "invalid node address in contract"]),
    # 3f: workloads
    (grid, "name-characters", [
        "invalid value for name (must only include alphanumeric and underscore characters)", "unsupported character in workload name",
    ]),
    (grid, "name-too-long", ["invalid deployment: vm x: name cannot exceed 36 characters"]),
    (grid, "memory-out-of-range", [
        "memory capacity can't be less that 250 MB", 'expected "vms.0.memory" to be in the range (256 - 262144), got 100',
        "expected vms.0.memory to be in the range (256 - 262144), got 100",
    ]),
    (grid, "cpu-out-of-range", [
        "CPUs must be more than or equal to 1 and less than or equal to 32", "expected vms.0.cpu to be in the range (1 - 32), got 64",
    ]),
    (grid, "rootfs-too-small", [
        "rootfs size can't be less than 2048. Set to 0 for minimum",
        "expected vms.0.rootfs_size to be in the range (1024 - 10485760), got 500",
    ]),
    (grid, "value-out-of-range", ["expected disks.0.size to be in the range (1 - 10240), got 0"]),
    (grid, "image-invalid", ["flist: 'https://x/y.img' is invalid, should have a valid flist extension"]),
    (grid, "image-unreachable", ["flist: 'https://hub.grid.tf/a/b.flist' is invalid, failed to download flist"]),
    (grid, "image-checksum", ["passed checksum 0123abcd does not match 4567"]),
    (grid, "image-mount", [
        "failed to mount flist: x: ro mount of flist failed: failed to get flist hash 'https://hub.grid.tf/a.flist.md5'",
        "ro mount of flist failed", "failed to get flist hash", "vm was not mounted in time",
    ]),
    (grid, "address-outside", [
        "couldn't deploy deployment with error: ip 10.1.3.2 is used by another machine of the network",
        "IP 10.9.1.2 is not part of local nr subnet", "ip 10.1.3.1 is reserved",
        "couldn't deploy deployment with error: ip 10.1.3.1 is reserved",
        "deployment ip range '10.1.3.0/24' doesn't contain ip '10.9.9.9'", "ip 10.1.3.2 is used by another machine of the network",
    ]),
    (grid, "network-unknown", [
        "couldn't deploy deployment with error: invalid ip range ",
        "you passed vm/vms in the deployment but network name is invalid",
    ]),
    (grid, "addresses-exhausted", ["all 253 ips of the network are exhausted", "could not find a free ip to add node"]),
    (grid, "range-not-16", [
        "subnet in ip range 10.1.0.0/24 should be 16", 'expected "ip_range" to contain a valid Value, got: 10.1 with err: x',
        'expected "ip_range" to contain a network Value with between 16 and 16 significant bits, got: 24',
        'expected "ip_range" to contain a valid network Value, expected 10.1.0.0/16, got 10.1.2.0/16',
    ]),
    (grid, "image-needs-disk", ["at least one mount has to be attached for Vm mode"]),
    (grid, "mycelium-seed", [
        "invalid mycelium ip seed length 5", "invalid mycelium seed length expected 6 bytes", "failed to decode mycelium ip seed: x",
        "invalid seed",
    ]),
    (grid, "network-name-reserved", ["'ygg' is reserved network name"]),
    (grid, "cluster-token", [
        "token must be at least 6 characters", "token must be at most 15 characters", "at most 15", "token should be alphanumeric",
    ]),
    (grid, "light-node", ["cannot deploy vms with vm-light on the same node", "failed to get workload data"]),
    # What only our own grid says, in the provider's manner
    (grid, "mycelium-key", [
        "could not set up tap device: network has no mycelium key on this node",
        "invalid node 7 for mycelium key, must be included in the network nodes", "invalid mycelium key length 5 must be 32 or empty", "failed to decode mycelium key: odd-length string",
    ]),
    (grid, "mount-without-disk", [
        "invalid deployment: vm vm mount data: disk or qsfs with this name was not found",
        "invalid deployment: vm vm mount data was not found",
    ]),
    (grid, "network-range-changed", ["could not deploy network net_a: network name exists with range 10.1.0.0/16"]),
    (grid, "network-without-nodes", ["could not deploy network: nodes must not be empty"]),
    # 3g: after acceptance
    (grid, "deployment-stalled", ["error waiting deployment: waiting for deployment 23 timed out", "waiting for deployment 23 timed out"]),
    (grid, "create-timeout", [
        "deployment in progress: context deadline exceeded", "deployment in progress",
        "timeout while waiting for state to become 'done' (last state: 'deploying', timeout: 45m0s)",
    ]),
    (grid, "provider-connect", ["error creating threefold plugin client: something new"]),
    (login, "ssh-refused", ["ssh: connect to host 10.5.3.2 port 22: Connection refused", "10.5.3.2: Connection refused"]),
    (login, "login-refused", [
        'Permission denied, please try again.',
        "root@10.5.3.2: Permission denied (publickey).", "root@10.5.3.2: Permission denied (publickey,password).",
        "Received disconnect from 10.5.3.2 port 22:2: Too many authentication failures",
    ]),
    (login, "host-key-changed", [
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "Host key verification failed.",
    ]),
    (lost, "address-brackets", [
        "Failed to connect to the host via ssh: ssh: Could not resolve hostname [5e8:946b::1]: Name or service not known",
    ]),
    (task, "dns-machine", [
        "E: Failed to fetch http://packages.example/x  Temporary failure resolving 'packages.example'",
        "curl: (6) Could not resolve host: example.com", "Temporary failure in name resolution",
    ]),
    (hook, "docker-whiteout", [
        'failed to register layer: failed to convert whiteout file "usr/.wh.x": operation not permitted',
    ]),
    # 3h: what the tool before this one met
    (hook, "rate-limit", [
        'You have exceeded a secondary rate limit.',
        "toomanyrequests: You have reached your pull rate limit.", "API rate limit exceeded for 1.2.3.4",
        "HTTP/2 429 Too Many Requests",
    ]),
    # ssh
    (login, "machine-silent", [
        "ssh: connect to host 10.5.3.2 port 22: Connection timed out", "10.5.3.2: timed out", "Operation timed out",
        "10.5.3.2: ssh answers, but a login does not end", "a command did not end within 120 s",
    ]),
    (login, "ssh-handshake", [
        "kex_exchange_identification: read: Connection reset by peer", "ssh_exchange_identification: Connection closed by remote host",
        "Connection timed out during banner exchange", "Connection closed by 10.5.3.2 port 22",
    ]),
    (login, "ssh-broken", [
        'Connection reset by 10.5.3.2 port 22',
        "client_loop: send disconnect: Broken pipe", "packet_write_wait: Connection to 10.5.3.2 port 22: Broken pipe",
        "Connection to 10.5.3.2 closed.", "the connection was closed", "Timeout, server 10.5.3.2 not responding.",
        "mux_client_request_session: read from master failed",
    ]),
    (login, "no-route-to-machine", ["10.5.3.2: No route to host", "5e8::1: Network is unreachable"]),
    (login, "machine-booting", ['"System is booting up. Unprivileged users are not permitted to log in yet. See pam_nologin(8)."']),
    (login, "key-unusable", ["@  WARNING: UNPROTECTED PRIVATE KEY FILE!  @", 'Load key "/run/k": error in libcrypto']),
    (login, "host-name-unknown", ["ssh: Could not resolve hostname vm: Name or service not known"]),
    (login, "not-ssh", ["10.5.3.2: something else than ssh answers"]),
    (login, "wireguard-handshake", ["10.5.3.2: timed out; the tunnel has had no handshake"]),
    # WireGuard
    (tunnel, "wireguard-handshake", ["handshake did not complete after 5 seconds", "latest handshake: never", "handshake missing"]),
    (tunnel, "route-conflict", ["RTNETLINK answers: File exists", "the range 10.5.0.0/16 collides with a route of this computer"]),
    (tunnel, "interface-taken", ["wg-quick: `wg-app' already exists"]),
    (tunnel, "wireguard-missing", [
        "/usr/bin/wg-quick: line 32: wireguard-go: command not found", 'Error: Unknown device type.',
        "RTNETLINK answers: Operation not supported", "Unable to access interface: Protocol not supported",
    ]),
    (tunnel, "tun-missing", ["Failed to create TUN device: CreateTUN(\"wg-app\") failed; /dev/net/tun does not exist"]),
    (tunnel, "wireguard-rights", ["RTNETLINK answers: Operation not permitted", "wg-quick must be run as root"]),
    (tunnel, "wireguard-config", [
        'Configuration parsing error',
        "Unable to parse IP address: `x'",
        "Unable to find port of endpoint: `x'",
        "Line unrecognized: `x=y'", "Key is not the correct length or format: `abc'"]),
    (tunnel, "wireguard-port-taken", ["RTNETLINK answers: Address already in use"]),
    (tunnel, "resolvconf-missing", ["/usr/bin/wg-quick: line 32: resolvconf: command not found"]),
    (tunnel, "sudo-password", [
        'tester is not in the sudoers file.',
        "sudo: a password is required", "sudo: a terminal is required to read the password"]),
    (tunnel, "dns-here", ["Temporary failure in name resolution: `gw.example.com:51820'"]),
    # Terraform
    (grid, "state-locked", [
        "Error acquiring the state lock: Error message: HTTP remote state already locked: ID=5", "Error locking state: x",
    ]),
    (grid, "state-unsaved", [
        "Failed to save state: Error saving state: HTTP error: 500", "Failed to persist state to backend",
        "The state has been written to errored.tfstate",
    ]),
    (init, "registry-unreachable", [
        'could not query provider registry for registry.terraform.io/threefoldtech/grid: the request failed\nafter 2 attempts, please try again later: 502',
        'Get "https://registry.terraform.io/x": context deadline exceeded',
        'Get "https://registry.opentofu.org/x": (Client.Timeout\nexceeded while awaiting headers)',
        'dial tcp: lookup registry.opentofu.org on 1.1.1.1:53: no such host',
        "Error: Failed to query available provider packages\n\n"
        "Could not retrieve the list of available versions for provider\nthreefoldtech/grid: could not connect to registry.terraform.io: failed\n"
        "to request discovery document: Get\n\"https://registry.terraform.io/.well-known/terraform.json\": dial tcp: lookup\n"
        "registry.terraform.io: no such host",
        "Error: Failed to install provider\n\nError while installing threefoldtech/grid v1.11.3: github.com: Get\n"
        "\"https://github.com/x.zip\": dial tcp 1.2.3.4:443: i/o timeout",
        "Get \"https://registry.terraform.io/v1/providers/threefoldtech/grid/versions\": net/http: request canceled\n"
        "(Client.Timeout exceeded while awaiting headers)",
        "Get \"https://registry.opentofu.org/x\": context deadline\nexceeded",
    ]),
    (init, "provider-version", [
        "Could not retrieve the list of available versions for provider\nthreefoldtech/grid: no available releases match the given\n"
        "constraints ~> 9.0",
        "locked provider registry.terraform.io/threefoldtech/grid 1.11.1 does not match\nconfigured version constraint ~> 1.11.3",
    ]),
    (init, "provider-not-found", [
        "Error: Failed to query available provider packages\n\nCould not retrieve the list of available versions for provider\n"
        "hashicorp/grid: provider registry registry.terraform.io does not have\na provider named registry.terraform.io/hashicorp/grid",
    ]),
    (init, "provider-install", [
        "Error: Failed to query available provider packages\n\nsomething new", "Error: Failed to install provider\n\nsomething else",
        "Error: Failed to resolve provider packages",
    ]),
    (init, "provider-checksum", [
        'checksum list has no SHA-256 hash for "terraform-provider-grid_1.11.3_linux_amd64.zip"',
        "the local package for registry.terraform.io/threefoldtech/grid 1.11.3 doesn't match\nany of the checksums previously recorded in "
        "the dependency lock file",
        "the current package for registry.terraform.io/x doesn't match any of the checksums", "checksum mismatch",
    ]),
    (init, "provider-checksum", [
        "Error: Failed to install provider\n\nError while installing threefoldtech/grid v1.11.3: error checking signature:\nopenpgp: invalid",
        "Error: Required plugins are not installed\n\nThe installed provider plugins are not consistent with the packages selected in the\n"
        "dependency lock file:\n  - registry.terraform.io/threefoldtech/grid: the cached package for registry.terraform.io/threefoldtech/grid\n"
        "1.11.3 (in .terraform/providers) does not match any of the checksums recorded in the dependency lock file",
    ]),
    (init, "plugin-cache-full", [
        "Error: Failed to install provider\n\nError while installing threefoldtech/grid v1.11.3: write\n"
        "/home/u/.cache/tfgrid-compose/terraform-plugins/x: no space left on device",
    ]),
    (init, "plugin-cache-unusable", [
        "Error: Invalid plugin cache directory",
        "The specified plugin cache dir /home/u/x cannot be opened: stat\n/home/u/x: no such file or directory",
        "Error: Failed to install provider\n\nError while installing threefoldtech/grid v1.11.3: mkdir\n/home/u/.cache/x: permission denied",
    ]),
    (init, "registry-tls", [
        "could not connect to registry.terraform.io: failed to request discovery document: Get\n\"https://registry.terraform.io/.well-known/"
        "terraform.json\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "Get \"https://registry.opentofu.org/x\": x509: certificate has expired or is not yet valid",
        "Error: Failed to install provider\n\nError while installing threefoldtech/grid v1.11.3: github.com: x509: unknown authority",
    ]),
    (init, "provider-gone", [
        "Error: Required plugins are not installed\n\n  - registry.terraform.io/threefoldtech/grid: there is no package for\n"
        "registry.terraform.io/threefoldtech/grid 1.11.3 cached in .terraform/providers",
    ]),
    (init, "lock-file-stale", ["Error: Inconsistent dependency lock file"]),
    (init, "backend-changed", ["Error: Backend initialization required, please run \"terraform init\"", "Error: Backend configuration changed"]),
    (init, "terraform-version", ["Error: Unsupported Terraform Core version", "Error: Unsupported OpenTofu Core version"]),
    (init, "rate-limit", ["unexpected status: 429 Too Many Requests"]),
    (init, "tls-untrusted", [
        'ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed',
        'x509: certificate has expired or is not yet valid',
        'fatal: server certificate verification failed. CAfile: none CRLfile: none',
        "x509: certificate signed by unknown authority"]),
    (init, "disk-full", ["write /home/u/.cache/x: no space left on device"]),
    (grid, "plugin-crashed", [
        'panic: runtime error: invalid memory address or nil pointer dereference',
        "Plugin did not respond: The plugin encountered an error, and failed to respond to the plugin.(*GRPCProvider) call.",
        "Request cancelled: The plugin.(*GRPCProvider).ApplyResourceChange request was cancelled.",
        "rpc error: code = Unavailable desc = error reading from server: EOF", "Error: The terraform-provider-grid plugin crashed!",
        "rpc error: code = Unavailable desc = transport is closing",
    ]),
    (grid, "plugin-start", [
        'Failed to instantiate provider "registry.terraform.io/threefoldtech/grid" to obtain schema: fork/exec x: exec format error',
        'fork/exec x: exec format error',
        "Failed to load plugin schemas: Error while loading schemas for plugin components: Failed to obtain provider schema",
        "Unrecognized remote plugin message: ", 'Could not load the schema for provider registry.terraform.io/threefoldtech/grid',
    ]),
    (grid, "pattern-variable", [
        'Reference to undeclared input variable: An input variable with the name "x" has not been declared.',
        'No value for required variable: The root module input variable "x" is not set', "Invalid value for variable"]),
    (grid, "pattern-argument", [
        'Unsupported block type: Blocks of type "disk" are not expected here.', 'Insufficient vms blocks: At least 1 "vms" blocks are required.',
    ]),
    (grid, "pattern-value", [
        'Invalid function argument: x',
        'Invalid index: The given key does not identify an element',
        'Unsupported attribute: This object does not have an attribute named "x".',
        'Invalid reference: A reference to a resource type must be followed by',
        'Invalid expression: Expected the start of an expression',
        'Argument or block definition required: x',
        'Duplicate resource "grid_network" configuration',
        'Invalid for_each argument',
        'Invalid count argument',
        'Incorrect attribute value type: Inappropriate value for attribute "cpu": a number is required.',
        "Reference to undeclared resource: A managed resource has not been declared", "Duplicate required providers configuration",
    ]),
    (grid, "provider-inconsistent", [
        'Provider produced inconsistent final plan: x',
        "Provider produced inconsistent result after apply: x"]),
    (grid, "terraform-stopped", [
        'execution halted',
        "operation canceled", "Interrupt received."]),
    # Ansible
    (lost, "ansible-unreachable", [
        "Failed to connect to the host via ssh: ", "Data could not be sent to remote host \"10.5.3.2\".", "SSH gave no reason",
    ]),
    (lost, "login-refused", ["Failed to connect to the host via ssh: root@10.5.3.2: Permission denied (publickey)."]),
    (lost, "ssh-refused", ["Failed to connect to the host via ssh: ssh: connect to host 10.5.3.2 port 22: Connection refused"]),
    (task, "ansible-unreachable", [
        'fatal: [vm]: UNREACHABLE! => {"changed": false}', "Task failed: the respondent Context has disconnected",
        "Task failed: builtins.AttributeError: 'NoneType' object has no attribute 'protocol'",
        "Channel was disconnected while connection attempt was in progress; launch_timeout was 30", "EOF on stream; last 100 lines",
    ]),
    (task, "ansible-task-command", ["non-zero return code", "MODULE FAILURE: No start of json char found"]),
    (task, "python-missing", [
        '/bin/sh: 1: /usr/bin/python: not found',
        'bash: line 1: /usr/bin/python3: No such file or directory',
        'ansible-core requires a minimum of Python3 version 3.8',
        "/bin/sh: 1: /usr/bin/python3: not found",
        "The module failed to execute correctly, you probably need to set the interpreter. See stdout/stderr for the exact error",
        "No python interpreters found for host vm",
    ]),
    (task, "ansible-module-missing", [
        'The module x was not found in configured module paths',
        "couldn't resolve module/action 'community.docker.docker_container'. This often indicates a misspelling",
        "the role 'geerlingguy.docker' was not found in /x",
    ]),
    (task, "playbook-syntax", [
        'We were unable to read either as JSON nor YAML, these are the errors',
        'conflicting action statements: shell, copy',
        'no module/action detected in task.',
        "Syntax Error while loading YAML.", "'tsks' is not a valid attribute for a Play", "YAML parsing failed: x"]),
    (task, "playbook-variable", [
        "'dict object' has no attribute 'port'",
        "template error while templating string: unexpected '}'",
        "Error while resolving value for 'msg': x",
        "The task includes an option with an undefined variable. The error was: 'domain' is undefined"]),
    (task, "ansible-sudo", [
        'Incorrect sudo password',
        "Missing sudo password", "Timeout (12s) waiting for privilege escalation prompt: "]),
    (task, "ansible-locale", [
        'ERROR: Ansible could not initialize the preferred locale: unsupported locale setting',
        "ERROR: Ansible requires the locale encoding to be UTF-8; Detected None."]),
    # apt, dpkg, pip
    (task, "apt-lock", [
        "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)",
        "Could not get lock /var/lib/apt/lists/lock - open (11: Resource temporarily unavailable)",
        "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend", "Waiting for cache lock: x",
        "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
        "E: Unable to lock directory /var/lib/apt/lists/", "Failed to lock apt for exclusive operation: x",
        "dpkg: error: dpkg frontend lock was locked by another process with pid 77",
        "E: Unable to lock the administration directory (/var/lib/dpkg/), is another process using it?",
    ]),
    (hook, "apt-lock", ["E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)"]),
    (here, "apt-lock", ["E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)"]),
    (hook, "dpkg-interrupted", ["E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."]),
    (hook, "apt-not-root", [
        "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)",
        "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?",
    ]),
    (hook, "apt-mirror-sync", [
        "E: Failed to fetch http://packages.example/x  Hash Sum mismatch", "E: Failed to fetch x  File has unexpected size (1 != 2). Mirror sync in progress?",
    ]),
    (hook, "apt-fetch", [
        "E: Failed to fetch http://packages.example/x", "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?",
        "W: Some index files failed to download. They have been ignored, or old ones used instead.",
    ]),
    (hook, "apt-lists-old", ["Err:1 http://packages.example/x\n  404  Not Found [IP: 1.2.3.4 80]\nE: Failed to fetch http://packages.example/x"]),
    (hook, "apt-clock", [
        'E: Release file for http://packages.example/x is expired (invalid since 3d 2h).',
        "E: Release file for http://packages.example/x is not valid yet (invalid for another 3h)."]),
    (hook, "apt-signature", [
        'The following signatures were invalid: EXPKEYSIG 7EA0A9C3F273FCD8',
        "E: The repository 'https://x bookworm InRelease' is not signed.",
        "W: GPG error: https://x InRelease: The following signatures couldn't be verified: NO_PUBKEY 7EA0A9C3F273FCD8"]),
    (hook, "apt-no-package", ["E: Unable to locate package ngnix", "E: Package 'x' has no installation candidate"]),
    (task, "apt-no-package", ["No package matching 'ngnix' is available"]),
    (hook, "apt-unmet", ["The following packages have unmet dependencies:", "E: Unable to correct problems, you have held broken packages."]),
    (hook, "dpkg-failed", [
        'installed nginx-core package post-installation script subprocess returned error exit status 1',
        "E: Sub-process /usr/bin/dpkg returned an error code (1)", "dpkg: error processing package nginx (--configure):"]),
    (hook, "pip-managed", ["error: externally-managed-environment"]),
    (hook, "pip-no-package", [
        'ERROR: Could not find a version that satisfies the requirement flsk (from versions: none)',
        "ERROR: No matching distribution found for flsk"]),
    (hook, "dns-machine", [
        "Could not resolve 'packages.example'",
        'psql: could not translate host name: Name or service not known',
        'lookup registry-1.docker.io on 127.0.0.53:53: no such host',
        "E: Failed to fetch http://packages.example/x  Temporary failure resolving 'packages.example'",
        "fatal: unable to access 'https://github.com/x/': Could not resolve host: github.com", "getaddrinfo EAI_AGAIN packages.example",
    ]),
    (here, "dns-here", [
        'Could not resolve host: packages.example',
        "Could not resolve 'packages.example'",
        'Name or service not known',
        "W: Failed to fetch http://packages.example/x  Temporary failure resolving 'packages.example'"]),
    # Hooks and systems
    (ended, "hook-not-executable", ["its interpreter or a program in it was not found (exit code 126)", "it exited with 126 after 0.1 s"]),
    (ended, "hook-program-missing", ["its interpreter or a program in it was not found (exit code 127)", "it exited with 127 after 0.1 s"]),
    (ended, "hook-timeout", ["it did not end within 300 s and was stopped", "it exited with 124 after 300.0 s"]),
    (ended, "hook-killed", ["it was ended by signal 9 after 3.0 s", "it exited with 137 after 3.0 s"]),
    (ended, "hook-crashed", [
        'it was ended by signal 6 after 1.0 s',
        "it was ended by signal 11 after 3.0 s"]),
    (ended, "hook-stopped", [
        'it was ended by signal 2 after 1.0 s',
        "it was ended by signal 15 after 3.0 s", "it was ended by signal 1 after 3.0 s"]),
    (hook, "hook-crashed", [
        'Illegal instruction (core dumped)',
        "./setup.sh: line 3:  12 Segmentation fault      (core dumped) ./x"]),
    (hook, "hook-interpreter", ["timeout: failed to run command './setup.sh': No such file or directory"]),
    (hook, "hook-line-endings", [
        'env: ‘bash\\r’: No such file or directory',
        "env: 'bash\\r': No such file or directory", "bash: ./setup.sh: /bin/bash^M: bad interpreter: No such file or directory",
        "./setup.sh: line 2: $'\\r': command not found",
    ]),
    (hook, "hook-syntax", [
        './setup.sh: line 3: unexpected EOF while looking for matching `"\'',
        "./setup.sh: line 9: syntax error near unexpected token `fi'", "./setup.sh: line 20: syntax error: unexpected end of file"]),
    (hook, "hook-variable", [
        './setup.sh: 3: DOMAIN: parameter not set',
        './setup.sh: line 3: DOMAIN: parameter null or not set',
        "./setup.sh: line 4: DOMAIN: unbound variable"]),
    (hook, "app-not-listening", [
        'curl: (7) Failed to connect to ::1 port 80',
        'connect to localhost port 80 failed: Connection refused',
        "curl: (7) Failed to connect to localhost port 8080 after 0 ms: Couldn't connect to server",
        "curl: (7) Failed to connect to 127.0.0.1 port 80", "connect to 127.0.0.1 port 80 failed: Connection refused",
    ]),
    (hook, "port-taken", [
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
        "Error response from daemon: driver failed programming: Bind for 0.0.0.0:8080 failed: port is already allocated",
        "my-app.socket: Failed to create listening socket ([::]:80): Address already in use",
        "Error: listen EADDRINUSE: address already in use :::3000", "OSError: [Errno 98] Address already in use",
    ]),
    (hook, "machine-disk-full", [
        "cp: error writing '/x': Disk quota exceeded",
        'its disk is full',
        "tar: x: Cannot write: No space left on device", "E: You don't have enough free space in /var/cache/apt/archives/."]),
    (task, "machine-disk-full", ["OSError: [Errno 28] No space left on device"]),
    (here, "disk-full", [
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "cp: error writing '/x': Disk quota exceeded",
        "mmdebstrap: write error: No space left on device"]),
    (hook, "out-of-memory", [
        "my-app.service: Failed with result 'oom-kill'.",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        'go: error obtaining buildID: signal: killed',
        'State: OOMKilled',
        'process "/bin/sh -c make" did not complete successfully: exit code: 137',
        'web-1 exited with code 137',
        "Out of memory: Killed process 1234 (mysqld)", "fatal error: runtime: out of memory", "fork: Cannot allocate memory", "Killed",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "MemoryError",
        "/bin/bash: line 1:  1234 Killed   make",
    ]),
    (here, "out-of-memory-here", [
        'Out of memory: Killed process 1234 (lxc-start)',
        "fork: Cannot allocate memory"]),
    (hook, "read-only-disk", ["touch: cannot touch '/x': Read-only file system"]),
    (hook, "docker-not-running", [
        'dial unix /var/run/docker.sock: connect: no such file or directory',
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"]),
    (hook, "image-not-found", ["manifest for nginx:99 not found: manifest unknown: manifest unknown", "pull access denied for x"]),
    (hook, "git-access", [
        'remote: Repository not found.',
        "fatal: Authentication failed for 'https://github.com/x/'",
        'fatal: Could not read from remote repository.',
        "fatal: could not read Username for 'https://github.com': No such device or address"]),
    (hook, "no-systemd", [
        'Failed to connect to bus: No such file or directory',
        './setup.sh: line 2: systemctl: command not found',
        "System has not been booted with systemd as init system (PID 1). Can't operate."]),
    (hook, "too-many-files", ["accept: Too many open files"]),
    (hook, "service-failed", [
        'my-app.service: Start request repeated too quickly.',
        "my-app.service: Failed with result 'exit-code'.",
        "Job for nginx.service failed because the control process exited with error code."]),
    (task, "service-failed", [
        'Unable to restart service my-app: x',
        "Unable to start service my-app: Job for my-app.service failed"]),
    (hook, "tls-untrusted", ["curl: (60) SSL certificate problem: unable to get local issuer certificate"]),
    (hook, "machine-no-internet", [
        'connect: No route to host',
        'dial tcp 1.2.3.4:443: i/o timeout',
        'curl: (28) Operation timed out after 30000 milliseconds',
        "curl: (28) Failed to connect to packages.example port 80: Connection timed out", "connect: Network is unreachable",
        "net/http: TLS handshake timeout",
    ]),
    (here, "wireguard-missing", ["wireguard-go: command not found"]),
]  # fmt: skip
CASES = [(make, code, text) for make, code, texts in KNOWN for text in texts]

# What passes when nothing is changed. Each may run a step again, so the list is written out twice on purpose.
TRANSIENT = {
    "chain-behind", "node-without-chain", "transaction-race", "chain-unreachable", "chain-slow", "contract-hash",
    "twin-relay", "relay-unreachable", "gridproxy-down", "node-unreachable", "no-access-point", "image-unreachable", "image-mount",
    "grid-timeout", "grid-no-connection",
    "state-locked", "state-unsaved", "registry-unreachable", "plugin-crashed", "provider-inconsistent", "terraform-stopped", "provider-gone",
    "machine-booting", "ssh-handshake", "ssh-broken", "ssh-refused", "no-route-to-machine", "wireguard-handshake", "machine-silent",
    "ansible-unreachable",
    "apt-lock", "apt-mirror-sync", "apt-fetch", "dns-machine", "dns-here", "machine-no-internet",
}  # fmt: skip

# Codes that name an error of ours and a row: both mean the same thing.
SHARED = {
    "disk-shrinks", "node-full", "node-not-found", "no-public-ip", "route-conflict", "hook-timeout", "machine-disk-full", "disk-full",
    "chain-unreachable", "chain-slow", "chain-behind", "mnemonic-invalid", "key-type-unknown", "port-taken",
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
    error = HookError("hook setup cut the connection to the machine", why="ssh does not answer any more: No route to host",
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


# What `explained` makes of an error


def test_an_error_that_nobody_knows_stays_as_it_is() -> None:
    error = HookError("a", why="b", fix="c", details=["d"])
    assert explained(error) is error
    assert error.to_dict() == {"code": "hook-failed", "what": "a", "why": "b", "fix": "c", "details": ["d"], "exit_code": 9}
    assert error.transient is False


def test_an_explained_error_has_reason_fix_and_cause_and_keeps_what_it_said() -> None:
    error = grid("could not reach node 11: context deadline exceeded")
    assert explained(error, "my-app", "infrastructure") is error
    assert error.to_dict() == {
        "code": "infrastructure", "cause": "node-unreachable", "what": "`terraform apply` failed", "why": "the node does not answer",
        "fix": "tfgrid-compose up my-app --node ID", "details": ["could not reach node 11: context deadline exceeded"], "log": "/l",
        "exit_code": 7,
    }  # fmt: skip
    assert error.transient is True


def test_what_was_said_comes_last_and_only_once() -> None:
    error = task("E: Could not get lock /var/lib/dpkg/lock-frontend")
    error.details = ["first", "second"]
    assert explained(error).details == ["first", "second", "E: Could not get lock /var/lib/dpkg/lock-frontend"]
    error = HookError("a", why="Killed", details=["x: Killed"])
    assert explained(error).details == ["x: Killed"]
    details: list[str] = []
    explained(HookError("a", why="Killed", details=details))
    assert details == [], "the caller's list is its own"


def test_explaining_twice_changes_nothing_more() -> None:
    error = explained(grid("ContractNotExists"), "my-app")
    before = error.to_dict()
    assert explained(error, "another").to_dict() == before


@pytest.mark.parametrize(
    ("code", "fix", "kept"),
    [
        (None, "", False),
        (
            None,
            "tfgrid-compose logs my-app --hook setup shows all of its output",
            False,
        ),  # The class's code: the site knew no reason.
        ("ship-failed", "tfgrid-compose up", False),
        ("ship-failed", "run the command again", False),
        ("machine-disk-full", "ask for a larger --disk", True),
    ],
)
def test_a_fix_that_knew_the_reason_is_kept(code: str | None, fix: str, kept: bool) -> None:
    error = explained(HookError("a", why="No space left on device", fix=fix, code=code), "my-app")
    assert error.fix == (fix if kept else "tfgrid-compose up my-app --disk 50")
    assert error.cause == "machine-disk-full"


def test_a_fix_without_a_name_takes_the_app_of_the_folder() -> None:
    for row in all_failures():
        assert "{" not in row.fix_for("").replace("${NAME", ""), row.code
        assert "  " not in row.fix_for(""), row.code
        assert row.fix_for("my-app").count("my-app") == row.fix.count("{name}"), row.code
    row = find("apt-lock")
    assert row is not None
    assert (row.fix_for(""), row.fix_for("a")) == ("tfgrid-compose up", "tfgrid-compose up a")


def test_what_has_waited_already_is_not_tried_again() -> None:
    waited = ReachError("the machine does not answer on 10.5.3.2", why="10.5.3.2: Connection refused")
    assert (explained(waited).cause, waited.transient) == ("ssh-refused", False)
    late = HookError("hook setup failed", why="it did not end within 60 s and was stopped", details=["Waiting for cache lock: x"])
    assert (explained(late).cause, late.transient) == ("apt-lock", False)


def test_a_mnemonic_in_a_message_is_not_shown() -> None:
    secret = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    said = f"error creating threefold plugin client: mnemonic/seed '{secret}' is invalid"
    for error in (grid(said), GridError(said), InfrastructureError("x", why=said, details=[said, f"more of '{secret}'"])):
        explained(error)
        assert error.cause == "mnemonic-invalid"
        assert "winner" not in f"{error.to_dict()} {error} {error!r}"


def test_find_knows_codes_and_nothing_else() -> None:
    assert find("apt-lock") in all_failures()
    assert find("apt-lok") is None and find("") is None


# Safe and quick with any text


@pytest.mark.parametrize("at", ["what", "why", "details"])
def test_a_text_of_any_length_is_looked_at_only_as_far_as_matters(at: str) -> None:
    noise = ("a" * 1_000_000 + "\n") * 3
    error = HookError("x", why="y")
    setattr(error, at, [noise] * 500 if at == "details" else noise)
    assert len(text_of(error)) < 3 * 64_000 + 3 * MAX_LINES + 100
    assert all(len(line) <= MAX_LINE for line in text_of(error).splitlines())


def test_the_end_of_a_long_output_and_both_ends_of_a_long_line_are_looked_at() -> None:
    killed = ["noise"] * 100_000 + ["Killed"]
    assert explained(HookError("x", details=killed)).cause == "out-of-memory"
    for text in ("no space left on device" + "a" * 1_000_000, "a" * 1_000_000 + "no space left on device"):
        assert explained(hook(text)).cause == "machine-disk-full"
    buried = ["Killed"] + ["noise"] * 100_000
    assert diagnose(HookError("x", details=buried)) is None


class Counted(str):
    """A text that counts how many of its signs are read by searching."""

    read = 0

    def find(self, part: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        stop = len(self) if end is None else end
        at = str.find(self, part, start, stop)
        Counted.read += max(0, (stop if at < 0 else at + len(part)) - start)
        return at


@pytest.mark.parametrize("row", all_failures(), ids=lambda row: row.code)
def test_reading_grows_with_the_length_and_not_faster(row: Failure) -> None:
    """Each line is made of what could make a matcher go back and forth: every piece of the row but the last, again and again."""
    pieces = [piece.strip("^$ ") for pattern in row.patterns for piece in pattern.split("…")[:-1]] or [row.patterns[0][:-1]]
    line = " ".join(pieces) + " "
    for lines in (1, 8):
        text = Counted("\n" + "\n".join([line * (4000 // len(line))] * lines) + "\n")
        Counted.read = 0
        row.matches(text)
        steps = sum(len(pattern.split("…")) + 1 for pattern in row.patterns)
        assert Counted.read <= steps * len(text)


ANYTHING = st.text(max_size=300) | st.sampled_from([text for _, _, text in CASES])


@given(
    make=st.sampled_from([TfgridError, InfrastructureError, GridError, HookError, PlatformError, ReachError, TunnelError, EnvironmentError_]),
    what=ANYTHING, why=ANYTHING, fix=ANYTHING, details=st.lists(ANYTHING, max_size=5), name=st.text(max_size=20),
    step=st.sampled_from(["", "infrastructure", "setup", "reach", "no such step"]), code=st.none() | st.text(max_size=10),
)  # fmt: skip
def test_no_text_breaks_the_diagnosis(make: type[TfgridError], name: str, step: str, details: list[str], **texts: Any) -> None:
    error = make(texts["what"], why=texts["why"], fix=texts["fix"], details=list(details), code=texts["code"])
    row = diagnose(error, step)
    assert row is None or row in all_failures()
    after = explained(error, name, step)
    assert after is error
    assert (after.cause, after.why) == (row.code, row.reason) if row else (after.cause, after.why) == ("", texts["why"])
    if row and not row.private and texts["why"].strip():
        assert texts["why"].strip().splitlines()[-1] in "\n".join(after.details) or texts["why"].strip() in "\n".join(details)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a…b", "xa--bx", True), ("a…b", "ab", True), ("a…b", "b a", False), ("a…b", "a\nb", False), ("a…b", "a\nb\nab", True),
        ("a … b", "a-b", True), ("a…b…a", "aab\na", False), ("^ab", "ab", True), ("^ab", "xab", False), ("^ab", "x\nab", True),
        ("ab$", "ab\nx", True), ("ab$", "abx", False), ("^ab…c$", "x\nab--c\nx", True), ("^ab…c$", "ab--c-", False), ("AB", "ab", True),
    ],
)  # fmt: skip
def test_the_language_of_patterns(pattern: str, text: str, matches: bool) -> None:
    assert Failure("x", (pattern,), "", "", "").matches(text) is matches


class Raw(str):
    """A text that nobody may take apart before it is cut."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        raise AssertionError("split as a whole")


@pytest.mark.parametrize("at", ["what", "why"])
def test_a_text_is_cut_before_it_is_taken_apart(at: str) -> None:
    error = HookError("x")
    setattr(error, at, Raw("noise\n" * 500_000 + "Killed"))
    found = diagnose(error)
    assert found is not None and found.code == "out-of-memory"


@given(text=st.text(alphabet="ab\n", max_size=40), pattern=st.from_regex(r"\^?[ab]{1,3}(…[ab]{1,3}){0,3}\$?", fullmatch=True))
def test_patterns_mean_the_same_as_regular_expressions(text: str, pattern: str) -> None:
    import re

    plain = pattern.removeprefix("^").removesuffix("$")
    wanted = r"[^\n]*".join(map(re.escape, plain.split("…")))
    wanted = ("^" if pattern.startswith("^") else "") + wanted + ("$" if pattern.endswith("$") else "")
    assert Failure("x", (pattern,), "", "", "").matches(text) == bool(re.search(wanted, text, re.MULTILINE))


# The table itself


def test_codes_are_unique_and_in_kebab_case() -> None:
    codes = [row.code for row in all_failures()]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and code.replace("-", "").isalnum() for code in codes)
    assert len(codes) > 100


def test_a_code_that_is_also_an_error_means_the_same() -> None:
    errors = {page.code for page in error_pages.all_pages()}
    assert {row.code for row in all_failures()} & errors == SHARED


def test_patterns_are_neither_empty_nor_too_short_to_mean_anything() -> None:
    for row in all_failures():
        assert row.patterns, row.code
        for pattern in row.patterns:
            pieces = pattern.strip("^$").split("…")
            assert len(max(pieces, key=len).strip()) >= 5, (row.code, pattern)
            assert all(len(piece) >= 1 for piece in pieces), (row.code, pattern)


def test_no_pattern_is_hidden_by_another_of_its_row() -> None:
    for row in all_failures():
        for pattern in row.patterns:
            others = [other for other in row.patterns if other is not pattern and "…" not in other and "^" not in other]
            assert not any(other.strip("$").lower() in pattern.lower() for other in others), (row.code, pattern)


def test_groups_hold_every_row_once() -> None:
    titles = [title for title, _ in diagnosis.groups()]
    assert len(set(titles)) == len(titles)
    assert sum(len(rows) for _, rows in diagnosis.groups()) == len(all_failures())


def test_the_table_is_loaded_only_when_an_error_is_looked_at() -> None:
    program = (
        "import sys; import tfgrid_compose.cli.main, tfgrid_compose.observe.diagnosis as d; from tfgrid_compose.errors import *;"
        "rows = [m for m in sys.modules if m.startswith('tfgrid_compose.observe.diagnosis.')];"
        "d.explained(UsageError('x'));"
        "d.explained(HookError('x', why='Killed'));"
        "print(rows, 'tfgrid_compose.observe.diagnosis.table' in sys.modules, 're' in [m for m in rows])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["['tfgrid_compose.observe.diagnosis.failure']", "True", "False"], done.stderr
