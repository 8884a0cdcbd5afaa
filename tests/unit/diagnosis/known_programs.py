"""What ssh, WireGuard, Terraform and Ansible are known to say, and where its diagnosis must lead."""

from __future__ import annotations

from tests.unit.diagnosis.said import Known, grid, init, login, lost, task, tunnel

PROGRAMS: list[Known] = [
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
        "/usr/bin/wg-quick: line 32: wireguard-go: command not found",
        "nsenter: failed to execute wireguard-go: No such file or directory",
        "neither the kernel's WireGuard nor the program wireguard-go is there",
    ]),
    (tunnel, "wireguard-ended", [
        "[!] Missing WireGuard kernel module. Falling back to slow userspace implementation.",
        "Unable to access interface: Protocol not supported", "Unable to modify interface: Connection reset by peer",
        "Unable to modify interface: Connection refused", "wireguard-go ended and made no interface",
        "wireguard-go made no interface in 10 s", "Falling back to slow userspace implementation.", "Missing WireGuard kernel module",
    ]),
    (tunnel, "inotify-limit", [
        "ERROR: (wg-app) 2026/11/27 23:56:18 Failed to listen on uapi socket: too many open files",
        "[!] Missing WireGuard kernel module. Falling back to slow userspace implementation.\nUnable to access interface: Protocol "
        "not supported\nERROR: (wg-app) Failed to listen on uapi socket: too many open files",
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
]  # fmt: skip
