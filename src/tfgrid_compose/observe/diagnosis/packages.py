"""apt, dpkg and pip, on machines and on this computer."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_MACHINE = ("machine", "host")

ROWS = (
    Failure(
        code="apt-not-root",
        patterns=("Could not open lock file", "are you root?"),
        reason="apt was started without the rights of root",
        fix="run it as root; hooks and tasks are root unless they change that",
        about=(
            "Packages belong to the system. A hook that switches to another user has to come back before it installs something."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-lock",
        patterns=(
            "Could not get lock /var/",
            "Waiting for cache lock",
            "dpkg frontend lock",
            "Unable to lock directory /var/lib/apt",
            "Unable to lock the administration directory",
            "Failed to lock apt for exclusive operation",
            "Unable to acquire the dpkg",
            "is another process using it",
        ),
        reason="apt package lock held by automatic updates",
        fix="tfgrid-compose up {name}",
        about=(
            "A machine that has just started often installs updates by itself, and only one program may install packages "
            "at a time. It is over within minutes. `apt-get -o DPkg::Lock::Timeout=300 install …` in a hook waits for it; "
            "the platform step sets this up for every apt on the machine."
        ),
        transient=True,
        scope=_MACHINE,
    ),
    Failure(
        code="dpkg-interrupted",
        patterns=("dpkg was interrupted",),
        reason="an earlier installation of packages was cut off",
        fix="tfgrid-compose exec {name} -- dpkg --configure -a",
        about=(
            "The machine was stopped, or a hook killed, while dpkg worked. Nothing more can be installed until it has "
            "finished that. The command finishes it; then run `tfgrid-compose up` again."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-mirror-sync",
        patterns=("Hash Sum mismatch", "File has unexpected size", "Mirror sync in progress"),
        reason="the package mirror is just being updated",
        fix="run `tfgrid-compose up {name}` again in some minutes",
        about=(
            "List and packages of the mirror don't fit together for a moment. Proxies that keep old files cause it too. "
            "It passes by itself."
        ),
        transient=True,
        scope=_MACHINE,
    ),
    Failure(
        code="apt-clock",
        patterns=("is not valid yet", "is expired (invalid since"),
        reason="the package lists don't fit the machine's clock",
        fix="tfgrid-compose exec {name} -- timedatectl set-ntp true",
        about=(
            "Package lists are signed for a span of time. A clock that is wrong by hours is outside of it; so are the "
            "lists of a release that is not served any more. `date` on the machine shows its clock."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-signature",
        patterns=(
            "NO_PUBKEY",
            "The following signatures couldn't be verified",
            "The following signatures were invalid",
            "is not signed.",
        ),
        reason="apt does not know the key of a package source",
        fix="install the key of that source before `apt-get update` in the hook",
        about=(
            "A source that was added by hand needs its key in /etc/apt/keyrings and `signed-by` in its line. Keys also "
            "expire; the source's page has the new one."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-no-package",
        patterns=("Unable to locate package", "has no installation candidate", "No package matching"),
        reason="the package does not exist in the package sources of the machine",
        fix="run `apt-get update` first in the hook, or mend the name of the package",
        about=(
            "The name is misspelt, belongs to another release or source, or the lists were never fetched. `apt-cache "
            "policy NAME` on the machine shows what it knows."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-unmet",
        patterns=("unmet dependencies", "held broken packages", "Unable to correct problems"),
        reason="packages that are wanted together exclude each other",
        fix="tfgrid-compose exec {name} -- apt-get --fix-broken install",
        about=(
            "Sources of different releases are mixed, or a package is held at an old version. The lines above name the packages."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="apt-lists-old",
        patterns=("404  Not Found [IP",),
        reason="a package is not on the mirror any more, because the package lists are old",
        fix="run `apt-get update` first in the hook",
        about=(
            "Mirrors drop older versions when they get new ones. A machine whose lists are some days old asks for what is gone."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="pip-managed",
        patterns=("externally-managed-environment",),
        reason="pip may not change the system's own Python",
        fix="make an environment first in the hook: python3 -m venv /opt/venv",
        about=(
            "Debian 12 and Ubuntu since 23.04 keep pip out of the Python that belongs to the system. Use a virtual "
            "environment, pipx, or the package of the distribution."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="pip-no-package",
        patterns=("No matching distribution found", "Could not find a version that satisfies"),
        reason="pip found no package of that name and version for this Python",
        fix="mend name or version of the package",
        about=(
            "The name is misspelt, the version was never released, or it does not support the machine's Python. Without a "
            "way to the package index pip says the same after some warnings."
        ),
        scope=_MACHINE,
    ),
)

# Behind the rows of system.py: a disk that is full and a name that can't be resolved also end in these words.
GENERAL = (
    Failure(
        code="apt-fetch",
        patterns=("Failed to fetch", "Unable to fetch some archives", "Some index files failed to download"),
        reason="packages could not be downloaded",
        fix="run `tfgrid-compose up {name}` again",
        about=(
            "The mirror does not answer, or the connection broke. It usually passes. If it stays, look whether the "
            "machine reaches the mirror: `tfgrid-compose exec -- apt-get update`."
        ),
        transient=True,
        scope=_MACHINE,
    ),
    Failure(
        code="dpkg-failed",
        patterns=(
            "dpkg returned an error code",
            "/usr/bin/dpkg returned",
            "error processing package",
            "installed … post-installation script",
        ),
        reason="the installation of a package failed in its own script",
        fix="mend what the lines above name, then run `tfgrid-compose exec {name} -- dpkg --configure -a`",
        about=(
            "The package was unpacked, and its set-up script failed: often a service that can't start, because its port "
            "is used or its settings are wrong."
        ),
        scope=_MACHINE,
    ),
)
