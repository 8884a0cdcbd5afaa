"""What package managers, hooks and services on a machine are known to say, and where its diagnosis must lead."""

from __future__ import annotations

from tests.unit.diagnosis.said import Known, ended, here, hook, task

_INOTIFY = [
    "inotify_init1() failed: Too many open files", "Failed to allocate manager object: Too many open files",
    "ERROR: (wg-app) Failed to listen on uapi socket: too many open files",
    "inotify_add_watch('/x') failed: No space left on device", "Failed to add a watch for /x: inotify watch limit reached",
    "tail: inotify resources exhausted", "The user limit on inotify watches was reached",
    "Error: ENOSPC: System limit for number of file watchers reached, watch '/srv'",
]  # fmt: skip

MACHINES: list[Known] = [
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
    (ended, "hook-noexec", ["it could not be started: /opt/tfgrid-compose/my-app/work/app-deployment is mounted noexec"]),
    (ended, "arguments-too-long", ["it could not be started: Argument list too long"]),
    (ended, "arguments-too-long", ["/usr/bin/timeout: Argument list too long"]),
    (ended, "hook-not-executable", ["it could not be started: Exec format error"]),
    (ended, "hook-not-executable", ["its interpreter or a program in it was not found (exit code 126)", "it exited with 126 after 0.1 s"]),
    (ended, "hook-program-missing", ["its interpreter or a program in it was not found (exit code 127)", "it exited with 127 after 0.1 s"]),
    (ended, "hook-timeout", ["it did not end within 300 s and was stopped"]),
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
    (hook, "hook-interpreter", ["it could not be started: No such file or directory"]),
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
    (here, "inotify-limit", [*_INOTIFY, "all 128 inotify instances are in use (fs.inotify.max_user_instances)"]),
    (hook, "machine-inotify-limit", [*_INOTIFY, "all 128 inotify instances are in use"]),
    (hook, "key-limit", [
        "runc create failed: unable to start container: unable to join session keyring: unable to create session key: disk quota exceeded",
        "keyctl_join_session_keyring: Disk quota exceeded", "add_key: Disk quota exceeded", "keyring: Disk quota exceeded",
    ]),
    (here, "key-limit", ["lxc-start: unable to create session key: Disk quota exceeded"]),
    (hook, "file-limit", ["accept4: Too many open files in system"]),
    (here, "file-limit", ["socket: Too many open files in system"]),
    (here, "loop-devices", [
        "mount: /srv: failed to setup loop device for /x/root.img.", "losetup: cannot find an unused loop device",
        "losetup: could not find any free loop device", "mount: could not find a free loop device",
    ]),
    (hook, "terminal-limit", [
        "PTY allocation request failed on channel 0", "openpty: No space left on device", "OSError: out of pty devices",
    ]),
    (here, "terminal-limit", ["lxc_terminal: Failed to allocate pty: No space left on device"]),
    (hook, "connection-limit", ["kernel: nf_conntrack: nf_conntrack: table full, dropping packet"]),
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
