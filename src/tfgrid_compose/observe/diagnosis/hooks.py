"""Hooks of apps: their scripts, and how they end."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_HOOK = ("hook",)

SCRIPTS = (
    Failure(
        code="hook-line-endings",
        patterns=(
            "sh^M: bad interpreter",
            "\\r': No such file or directory",
            "\\r’: No such file or directory",
            "$'\\r': command not found",
        ),
        reason="the hook has the line ends of Windows",
        fix="run `sed -i 's/\\r$//' deployment/*.sh`, then run `tfgrid-compose up {name}`",
        about=(
            "Lines end with CR and LF, and the machine looks for an interpreter whose name ends with CR. Set your editor "
            "to LF; `*.sh text eol=lf` in .gitattributes keeps git from changing it."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-syntax",
        patterns=("syntax error near unexpected token", "syntax error: unexpected", "unexpected EOF while looking for"),
        reason="a script of the app has a syntax error",
        fix="mend the line that the message names; `bash -n FILE` checks without running",
        about="A quote, bracket, `fi` or `done` is missing, or a script for bash was started with sh.",
        scope=_HOOK,
    ),
    Failure(
        code="hook-variable",
        patterns=("unbound variable", "parameter not set", "parameter null or not set"),
        reason="a script of the app uses a variable that has no value",
        fix="add it under `environment` in the manifest, or give it a default in the script",
        about=(
            "With `set -u` a variable without a value ends the script. Hooks get the values of `environment`, from "
            "--env-file, --var or their defaults. `${NAME:-default}` is a default in the script."
        ),
        scope=_HOOK,
    ),
)

ENDINGS = (
    Failure(
        code="app-not-listening",
        patterns=(
            "Failed to connect to localhost port",
            "Failed to connect to 127.0.0.1 port",
            "Failed to connect to ::1 port",
            "127.0.0.1 port … Connection refused",
            "localhost … Connection refused",
            "127.0.0.1… Connection refused",
        ),
        reason="nothing listens on the port that the hook asked",
        fix="tfgrid-compose logs {name}",
        about=(
            "The app's service did not start, ended again, or listens on another port or address. The app's log usually "
            "says why. A service that needs time to start should be waited for in the hook: `curl --retry 20 "
            "--retry-connrefused …`."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-timeout",
        patterns=("did not end within",),
        reason="the hook ran longer than its manifest allows",
        fix="set a longer hook_config.<hook>.timeout in the manifest, or mend what hangs",
        about=(
            "A hook is stopped after its time limit. Its last lines show where it stood: a download, a question that "
            "waits for an answer, or a service that was started in the foreground."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-interpreter",
        patterns=("it could not be started: No such file",),
        reason="the interpreter that the hook's first line names does not exist on the machine",
        fix="begin the script with `#!/usr/bin/env bash` and save it with the line ends of Linux",
        about=(
            "A script is run by the program that its first line names. That program is not installed, or the line ends "
            "with the CR of Windows, which then is part of the name. Set your editor to LF."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-noexec",
        patterns=("it could not be started: … is mounted noexec",),
        reason="the folder in which hooks run is mounted with the option noexec",
        fix="mount /opt of the machine without noexec, then run `tfgrid-compose up {name}`",
        about=(
            "Hooks are run from /opt/tfgrid-compose on the machine. A hardened machine may forbid programs there: "
            "`tfgrid-compose exec -- findmnt -T /opt` shows the options of the mount."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="arguments-too-long",
        patterns=("Argument list too long",),
        reason="a value of the environment, or a command line, is longer than Linux takes",
        fix="write the large value to a file that is shipped, and read it in the hook",
        about=(
            "Linux takes at most 131,071 bytes for one word of a command line or one `NAME=value`, and about 2 MB for all of "
            "them together. A hook may also make such a line itself, for example with `*` in a folder of many files; `xargs` "
            "or `find -exec … +` cut it."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-not-executable",
        patterns=("exit code 126", "exited with 126", "it could not be started: "),
        reason="the hook, or a program in it, is no program that can be executed",
        fix="begin the script with `#!/usr/bin/env bash`, and build programs for Linux on x86_64",
        about=(
            "126 means that a file was found and could not be run: a program for another kind of computer, a folder, or a "
            "script whose interpreter may not be executed."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-program-missing",
        patterns=("exit code 127", "exited with 127"),
        reason="the hook's interpreter, or a program in it, does not exist on the machine",
        fix="install it in the setup hook, or mend its name",
        about=(
            "127 means that a command was not found. The last line of the output usually names it. The first line of a "
            "script names its interpreter, which has to exist as well."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-killed",
        patterns=("ended by signal 9", "exited with 137"),
        reason="the hook was killed, most likely because the machine ran out of memory",
        fix="tfgrid-compose up {name} --memory 4G",
        about=(
            "Signal 9 can't be caught: the kernel sends it when memory runs out. "
            "`tfgrid-compose exec -- dmesg` shows the kernel's reason."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-crashed",
        patterns=(
            "ended by signal 11",
            "ended by signal 6",
            "Segmentation fault",
            "Illegal instruction",
        ),
        reason="a program in the hook crashed",
        fix="tfgrid-compose logs {name} --hook setup",
        about=(
            "The program did something that the system does not allow: a bug of its own, or it is built for another "
            "processor. The last lines of the output show which program it was."
        ),
        scope=_HOOK,
    ),
    Failure(
        code="hook-stopped",
        patterns=("ended by signal 15", "ended by signal 1 ", "ended by signal 2 "),
        reason="something on the machine stopped the hook",
        fix="tfgrid-compose up {name}",
        about=(
            "The machine shut down or restarted while the hook ran, or a program in it ended its whole group of "
            "processes, as `pkill` and `systemctl restart ssh` can."
        ),
        scope=_HOOK,
    ),
)
