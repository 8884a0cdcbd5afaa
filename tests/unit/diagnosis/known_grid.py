"""What the provider of the grid is known to say, and where its diagnosis must lead.

Section numbers are those of the facts about the grid from which the texts were taken.
"""

from __future__ import annotations

from tests.unit.diagnosis.said import Known, grid, hook, login, lost, task

GRID: list[Known] = [
    # 3a: account and identity
    (grid, "mnemonic-invalid", [
        "error creating threefold plugin client: mnemonic/seed 'one two three' is invalid",
        "error creating threefold plugin client: mnemonic/seed is empty",
        "error getting identity using '0xabcd': invalid seed length",
        "error creating threefold plugin client: error getting identity using 'one two three': invalid seed",
    ]),
    (grid, "twin-unasked", [
        "error creating threefold plugin client: failed to get twin for the given mnemonic/seed one two three: websocket: close 1006",
        "could not create rmb client: failed to initialize peer: could not get twin 7: connection closed",
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
    (grid, "twin-not-verified", [
        "user with twin id 8021 is not verified",
        "error creating threefold plugin client: only verified users can deploy, please visit https://dashboard.grid.tf/ to verify your "
        "account: user with twin id 8021 is not verified",
        # What the service says of a twin that never asked to be verified.
        "only verified users can deploy, please visit https://dashboard.grid.tf/ to verify your account: failed to get twin verification status",
    ]),
    (grid, "verification-unasked", [
        'only verified users can deploy, please visit https://dashboard.grid.tf/ to verify your account: Get '
        '"https://kyc.grid.tf/api/v1/status?twin_id=7": dial tcp 1.2.3.4:443: i/o timeout',
    ]),
    (grid, "fee-unpayable", [
        "1010: Invalid Transaction: Inability to pay some fees (e.g. account balance too low)", "insufficient balance for fee",
        "failed to submit extrinsic: Inability to pay some fees",
    ]),
    (grid, "transaction-invalid", ["1010: Invalid Transaction: Invalid signing address"]),
    (grid, "endpoint-invalid", [
        "could not validate relay url: 'http://x' is invalid", "could not validate substrate url: y",
        "proxy url is invalid: http://127.0.0.1", "could not validate: wss url 'wss://a-b.grid.tf' is invalid",
        'expected "proxy_url" to have a url with schema of: "https", got http://127.0.0.1:8080',
        'expected "substrate_url" to have a url with schema of: "wss", got ws://tfchain.grid.tf/ws',
        'expected "relay_url" to have a host, got wss://', 'expected "relay_url" to be a valid url, got ::',
    ]),
    (grid, "value-unknown", [
        'expected network to be one of ["dev" "qa" "test" "main"], got mainnet',
        'expected key_type to be one of ["ed25519", "sr25519"], got rsa',
    ]),
    (grid, "no-public-ipv6", [
        "workload vm within deployment 5 failed with error: could not get public ipv6 config: no public ipv6 found",
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
        "mem capacity can't be less that 250M",
        "memory capacity can't be less that 250 MB", 'expected "vms.0.memory" to be in the range (256 - 262144), got 100',
        "expected vms.0.memory to be in the range (256 - 262144), got 100",
    ]),
    (grid, "cpu-out-of-range", [
        "CPUs must be more than or equal to 1 and less than or equal to 32", "expected vms.0.cpu to be in the range (1 - 32), got 64",
    ]),
    (grid, "rootfs-too-small", [
        "vm within deployment 5 failed with error: disk size can't be less that 2147483648. Set to 0 for minimum",
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
]  # fmt: skip
