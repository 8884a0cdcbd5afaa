"""Ansible itself: playbooks, modules, the machine's Python. What tasks ran is in the other modules."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_ANSIBLE = ("ansible",)

ROWS = (
    Failure(
        code="python-missing",
        patterns=(
            "python3: not found",
            "python3: No such file",
            "python: not found",
            "No python interpreters found",
            "you probably need to set the interpreter",
            "requires a minimum of Python",
        ),
        reason="the machine has no Python that Ansible can use",
        fix="choose an image with Python 3, or install it in the app's playbook with the `raw` module",
        about=(
            "Ansible runs its modules with /usr/bin/python3 of the machine. The images of the grid's own patterns have "
            "it; minimal images don't."
        ),
        scope=_ANSIBLE,
    ),
    Failure(
        code="ansible-module-missing",
        patterns=(
            "couldn't resolve module/action",
            "was not found in configured module paths",
            "the role … was not found",
        ),
        reason="a playbook uses a module or role that is not installed here",
        fix="use modules of ansible.builtin, or install the collection with `ansible-galaxy collection install NAME`",
        about=(
            "Only ansible-core is installed with tfgrid-compose; collections such as community.docker are not part of it. "
            "A misspelt module looks the same. Roles are looked for beside the playbook."
        ),
        scope=_ANSIBLE,
    ),
    Failure(
        code="playbook-syntax",
        patterns=(
            "Syntax Error while loading YAML",
            "YAML parsing failed",
            "We were unable to read either as JSON nor YAML",
            "is not a valid attribute for",
            "conflicting action statements",
            "no module/action detected in task",
        ),
        reason="the playbook can't be understood",
        fix="mend the line that the message names",
        about=(
            "The YAML has a mistake in indentation or quotes, or a task has a key that Ansible does not know. "
            "`ansible-playbook --syntax-check` on the file shows the same."
        ),
        scope=_ANSIBLE,
    ),
    Failure(
        code="playbook-variable",
        patterns=(
            "' is undefined",
            "undefined variable",
            "template error while templating",
            "Error while resolving value",
            "object' has no attribute",
        ),
        reason="the playbook uses a variable that has no value",
        fix="give it a default in the playbook, or add it under `environment` in the manifest",
        about=(
            "Playbooks of apps get the values of `environment` and the pattern's outputs. A name is misspelt, or its "
            "value was not given with --env-file or --var."
        ),
        scope=_ANSIBLE,
    ),
    Failure(
        code="ansible-sudo",
        patterns=("Missing sudo password", "Incorrect sudo password", "waiting for privilege escalation prompt"),
        reason="the playbook wants to become another user, and the machine asks for a password",
        fix="take `become` out of the playbook: tasks run as root already",
        about=(
            "tfgrid-compose logs in as root, so nothing has to be escalated. A playbook that becomes root through sudo "
            "needs sudo without a password on the machine."
        ),
        scope=_ANSIBLE,
    ),
    Failure(
        code="ansible-locale",
        patterns=("requires the locale encoding to be UTF-8", "could not initialize the preferred locale"),
        reason="Ansible refuses to run without a UTF-8 locale",
        fix="run `export LC_ALL=C.UTF-8`, then `tfgrid-compose up {name}`",
        about="Ansible reads and writes UTF-8 only. A shell with LC_ALL=C or an unknown locale stops it.",
        scope=_ANSIBLE,
    ),
    Failure(
        code="ansible-unreachable",
        patterns=(
            "UNREACHABLE!",
            "Failed to connect to the host via ssh",
            "Data could not be sent to remote host",
            "ansible lost",
            # Mitogen's words, which carries Ansible's tasks.
            "respondent context has disconnected",
            "channel was disconnected while connection attempt was in progress",
            "EOF on stream",
            "'NoneType' object has no attribute 'protocol'",
        ),
        reason="the machine stopped answering while Ansible worked on it",
        fix="tfgrid-compose up {name}",
        about=(
            "The machine restarted, its network or firewall was changed by a task, or the tunnel broke. Finished tasks "
            "are not repeated. `tfgrid-compose status` shows machine and tunnel."
        ),
        transient=True,
        scope=_ANSIBLE,
    ),
    Failure(
        code="ansible-task-command",
        patterns=("non-zero return code", "MODULE FAILURE"),
        reason="a command that a task ran has failed",
        fix="tfgrid-compose logs {name} --hook platform",
        about=(
            "The task's own output stands above, and all of it in the log. Run the command by hand with `tfgrid-compose "
            "ssh` to see what it says there."
        ),
        scope=_ANSIBLE,
    ),
)
