"""Machines and computers: disk, memory, ports, names, connections, containers, services."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_MACHINE = ("machine",)
_HERE = ("host",)
_ALL = ("machine", "host")

ROWS = (
    Failure(
        code="machine-disk-full",
        patterns=(
            "No space left on device",
            "enough free space in",
            "Disk quota exceeded",
            "its disk is full",
        ),
        reason="the machine's disk is full",
        fix="tfgrid-compose up {name} --disk 50",
        about=(
            "`tfgrid-compose exec -- df -h` shows which disk it is, `du -xsh /*` on the machine what fills it. A larger "
            "--disk makes room; so does a hook that cleans up after itself, for example with `apt-get clean`."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="disk-full",
        patterns=("no space left on device", "enough free space in", "Disk quota exceeded"),
        reason="a disk of this computer is full",
        fix="free some space, then run `tfgrid-compose up {name}`",
        about=(
            "`df -h` shows which one it is. The local grid keeps its machines in /var/lib/tfgrid-compose, and "
            "`tfgrid-compose localgrid status` lists them. State is in ~/.local/state/tfgrid-compose, downloads in "
            "~/.cache."
        ),
        scope=("host", "wireguard"),
    ),
    Failure(
        code="out-of-memory",
        patterns=(
            "Out of memory",
            "oom-kill",
            "Cannot allocate memory",
            "^killed$",
            "MemoryError",
            "std::bad_alloc",
            "signal: killed",
            "OOMKilled",
            "exit code: 137",
            "/bin/bash: line … killed",
            "exited with code 137",
        ),
        reason="the machine ran out of memory",
        fix="tfgrid-compose up {name} --memory 4G",
        about=(
            "The kernel ends the largest program when memory runs out, or a program is refused more. Building software "
            "and databases need most. `tfgrid-compose exec -- free -m` shows what there is; machines of the grid have no "
            "swap."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="out-of-memory-here",
        patterns=("Out of memory", "Cannot allocate memory"),
        reason="this computer ran out of memory",
        fix="end programs, or local machines with `tfgrid-compose down`, then run `tfgrid-compose up {name}`",
        about=(
            "Machines of the local grid use the memory of this computer. `free -m` shows what is left, `tfgrid-compose "
            "localgrid status` which machines run."
        ),
        scope=("host", "wireguard"),
    ),
    Failure(
        code="read-only-disk",
        patterns=("Read-only file system",),
        reason="a disk is mounted read-only",
        fix="tfgrid-compose exec {name} -- dmesg",
        about=(
            "The kernel makes a disk read-only after an error on it, and some folders are so by design. The kernel's "
            "messages say which. After an error save the data and make the machine anew on another node."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="dns-machine",
        patterns=(
            "Temporary failure resolving",
            "Temporary failure in name resolution",
            "Could not resolve host",
            "Could not resolve '",
            "Name or service not known",
            "lookup … no such host",
            "getaddrinfo EAI_AGAIN",
        ),
        reason="the machine can't resolve names yet",
        fix="run `tfgrid-compose up {name}` again",
        about=(
            "In the first seconds of a machine its DNS may not work yet. If it stays, /etc/resolv.conf on the machine is "
            "empty or overwritten, or the machine has no way to the internet: `tfgrid-compose exec -- apt-get "
            "update` asks the package servers that the machine has in its own list."
        ),
        transient=True,
        scope=_MACHINE,
    ),
    Failure(
        code="dns-here",
        patterns=(
            "no such host",
            "Temporary failure resolving",
            "Temporary failure in name resolution",
            "Could not resolve host",
            "Could not resolve '",
            "Name or service not known",
        ),
        reason="this computer can't resolve the name of a server",
        fix="check DNS and connection of this computer, then run `tfgrid-compose up {name}`",
        about=(
            "`getent hosts registry.terraform.io` shows whether names are resolved at all. The message names the server; "
            "a misspelt address looks the same."
        ),
        transient=True,
        scope=("host", "wireguard", "terraform", "grid"),
    ),
    Failure(
        code="port-taken",
        patterns=(
            "Address already in use",
            "bind() to … failed (98",
            "port is already allocated",
            "EADDRINUSE",
        ),
        reason="another program on the machine already uses that port",
        fix="tfgrid-compose exec {name} -- ss -tlpn",
        about=(
            "The command lists who listens where. Often a web server that came with a package holds port 80, or an older "
            "version of the app still runs. Stop it in the hook, or choose another port."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="tls-untrusted",
        patterns=(
            "certificate signed by unknown authority",
            "certificate verify failed",
            "certificate has expired",
            "SSL certificate problem",
            "server certificate verification failed",
        ),
        reason="the certificate of a server is not trusted",
        fix="check the clock, then install ca-certificates",
        about=(
            "A clock that is wrong, missing root certificates, or a proxy that opens connections makes certificates "
            "invalid. `date` shows the clock, and the message names the server."
        ),
    ),
    Failure(
        code="rate-limit",
        patterns=(
            "toomanyrequests",
            "pull rate limit",
            "API rate limit exceeded",
            "429 Too Many Requests",
            "secondary rate limit",
        ),
        reason="a server refuses more requests for some time",
        fix="run `tfgrid-compose up {name}` again later, or log in to that service in the hook",
        about=(
            "Public registries count requests by address, and machines of one farm can share one. An account of the "
            "service has a limit of its own."
        ),
        scope=_ALL,
    ),
    Failure(
        code="docker-whiteout",
        patterns=("whiteout",),
        reason="Docker can't unpack images on the machine's root file system",
        fix="mount a disk at /var/lib/docker, or set the storage driver vfs in /etc/docker/daemon.json",
        about=(
            "Machines of the grid have a root file system (virtiofs) on which Docker's overlay2 does not work. A disk of "
            "the app, mounted at /var/lib/docker, is a real one. The driver vfs works anywhere and needs more room."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="docker-not-running",
        patterns=(
            "Cannot connect to the Docker daemon",
            "Is the docker daemon running",
            "docker.sock: connect: no such file",
        ),
        reason="Docker is not running on the machine",
        fix="tfgrid-compose exec {name} -- systemctl status docker",
        about=(
            "The service did not start, or the hook went on before it had. Its log says why: often the storage driver, or "
            "rules of the firewall."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="image-not-found",
        patterns=("manifest unknown", "pull access denied", "manifest for … not found"),
        reason="the container image does not exist, or may not be read without an account",
        fix="mend name and tag of the image, or log in to its registry in the hook",
        about=(
            "Registries answer the same for images that are private and for those that don't exist. `docker manifest "
            "inspect NAME:TAG` asks for it."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="git-access",
        patterns=(
            "could not read Username for",
            "Repository not found",
            "Authentication failed for",
            "Could not read from remote repository",
        ),
        reason="the hook may not read a git repository",
        fix="mend the address, or give the hook a token by --env-file",
        about=(
            "The repository is private or misspelt, and there is nobody on the machine who could type a password. A token "
            "belongs into `environment` of the manifest with secret: true."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="no-systemd",
        patterns=("System has not been booted with systemd", "Failed to connect to bus", "systemctl: command not found"),
        reason="the machine runs without systemd",
        fix="choose a full image for the pattern, or start services in another way",
        about=(
            "Micro images of the grid start zinit instead of systemd, so systemctl does not work there. Full images, such "
            "as ubuntu-24.04-full, have it."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="too-many-files",
        patterns=("Too many open files",),
        reason="a program has reached its limit of open files",
        fix="set LimitNOFILE in the service, or `ulimit -n 65536` in the hook",
        about=(
            "Every program may have a certain number of files and connections open. Databases and web servers often need "
            "more than the default of 1024."
        ),
        scope=_ALL,
    ),
    Failure(
        code="sudo-password",
        patterns=("a password is required", "sudo: a terminal is required", "is not in the sudoers file"),
        reason="sudo wants a password, and nobody can type it",
        fix="run the command as root, or in a terminal",
        about=(
            "Without a terminal sudo can only work when the user needs no password. `sudo -v` before the command keeps it "
            "unlocked for some minutes."
        ),
        scope=("host", "wireguard"),
    ),
    Failure(
        code="service-failed",
        patterns=(
            "Job for … Failed",
            "Unable to start service",
            "Unable to restart service",
            "Start request repeated too quickly",
            "Failed with result",
        ),
        reason="a service did not start",
        fix="tfgrid-compose logs {name}",
        about=(
            "systemd started the service, and it ended with an error. `tfgrid-compose exec -- journalctl -u SERVICE -n "
            "50` shows what it said last: settings that are wrong, a port that is used, a file that is missing."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="machine-no-internet",
        patterns=(
            "Network is unreachable",
            "No route to host",
            "Connection timed out",
            "i/o timeout",
            "TLS handshake timeout",
            "Operation timed out",
        ),
        reason="the machine could not reach a server on the internet",
        fix="run `tfgrid-compose up {name}` again",
        about=(
            "The server is down, slow, or the machine's connection broke for a moment. If it stays, test it from the "
            "machine: `tfgrid-compose exec -- apt-get update` asks the package servers of its own list."
        ),
        transient=True,
        scope=_MACHINE,
    ),
)
