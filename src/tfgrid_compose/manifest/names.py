"""Names and folders that belong to a machine's system: an app never takes them over."""

from __future__ import annotations

import posixpath
import re

# Users and groups that Debian 12 and Ubuntu 24.04 make before anything of ours runs.
_ACCOUNTS = frozenset((
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup", "list",
    "irc", "gnats", "apt", "nobody", "nogroup", "adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy",
    "tape", "sudo", "audio", "dip", "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "input",
    "sgx", "kvm", "render", "crontab", "netdev", "rdma", "ssh", "sshd", "ssl-cert", "systemd-journal", "systemd-network",
    "systemd-timesync", "systemd-resolve", "systemd-oom", "systemd-coredump", "messagebus", "polkitd", "syslog", "uuidd",
    "tcpdump", "tss", "landscape", "pollinate", "fwupd-refresh", "lxd", "usbmux", "dhcpcd", "ubuntu", "debian", "admin",
    "wheel", "docker",
))  # fmt: skip
# What their base packages and those of the platform keep below /var/lib.
_STATE = frozenset((
    "apt", "dpkg", "systemd", "dbus", "git", "logrotate", "man-db", "misc", "pam", "polkit-1", "private", "python", "sgml-base",
    "ucf", "vim", "xml-core", "shells.state", "cloud", "initramfs-tools", "grub", "sudo", "usbutils", "NetworkManager",
    "PackageKit", "snapd", "ubuntu-advantage", "ubuntu-release-upgrader", "update-manager", "update-notifier", "landscape",
    "plymouth", "os-prober", "dhcp", "dhcpcd", "fwupd", "bolt", "udisks2", "chrony", "ntp", "nftables", "apport",
    "command-not-found", "unattended-upgrades", "swcatalog", "app-info",
))  # fmt: skip
_ROOTS = (
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "lost+found", "proc", "root", "run", "sbin", "snap", "sys",
    "tmp", "usr", "opt/tfgrid-compose", "var/run", "var/lock", "var/tmp", "var/log/journal", "var/log/tfgrid-compose",
    "var/cache/apt",
)  # fmt: skip
# Folders with all that is below them, and others whose own content is the system's while disks may stand in them.
_WHOLE = (*(f"/{name}" for name in _ROOTS), *(f"/var/lib/{name}" for name in sorted(_STATE)))
_PARENTS = (
    "/", "/var", "/opt", "/home", "/srv", "/mnt", "/media", "/var/lib", "/var/log", "/var/cache", "/var/spool", "/var/mail",
    "/var/backups", "/var/local", "/var/opt",
)  # fmt: skip


def user_of(app: str) -> str:
    """The system user of an app: lower case, at most 31 characters, and never a user or group that the system had before."""
    name = re.sub(r"[^a-z0-9-]", "-", app.lower()).strip("-")[:31] or "app"
    return name if name[0].isalpha() and name not in _ACCOUNTS else f"app-{name}"[:31]


def name_refusal(app: str) -> str:
    """Why an app can't have a name that is otherwise well made; empty when it can."""
    return f"{app} is the system's on a machine: /var/lib/{app} is not the app's" if app in _STATE else ""


def mount_refusal(mount: str) -> str:
    """Why nothing can be mounted at a path, whatever way it is written; empty when it can."""
    path = normal(mount)
    below = any(path == whole or path.startswith(f"{whole}/") for whole in _WHOLE)
    if ".." in mount.split("/") or path in _PARENTS or below:
        return f"{mount} belongs to the system; mount data under /data, /srv/… or /var/lib/…"
    return ""


def normal(mount: str) -> str:
    """The one way to write an absolute path."""
    return "/" + posixpath.normpath(mount).lstrip("/")
