"""Terraform itself: its state, its plug-ins, the pattern's files."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_TERRAFORM = ("terraform",)

ROWS = (
    Failure(
        code="state-locked",
        patterns=("Error acquiring the state lock", "Error locking state"),
        reason="another Terraform run holds the state of this deployment",
        fix="wait until the other run has ended, then run `tfgrid-compose up {name}`",
        about=(
            "Only one Terraform may change a state at a time. The lock lives as long as the command that holds it, so it "
            "is gone when no other `up` or `down` runs any more: `ps aux | grep tfgrid-compose` shows them."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="state-unsaved",
        patterns=(
            "Failed to save state",
            "Failed to persist state",
            "Error saving state",
            "errored.tfstate",
        ),
        reason="Terraform could not save what it has made",
        fix="tfgrid-compose up {name}",
        about=(
            "The state goes to the database of tfgrid-compose. When that fails, Terraform leaves it in a file, which the "
            "next run takes in and removes. `df -h ~/.local/state` shows whether the disk is full."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="plugin-cache-full",
        patterns=("Error while installing … no space left on device",),
        reason="the disk was full before the provider had arrived",
        fix="free some space below ~/.cache (`df -h ~/.cache` shows it), then run `tfgrid-compose up {name}`",
        about=(
            "The provider takes about 100 MB, once for all deployments. Versions that nothing uses any more can go: "
            "`rm -r ~/.cache/tfgrid-compose/terraform-plugins`, and the next `up` fetches what it needs."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="plugin-cache-unusable",
        patterns=(
            "plugin cache dir … cannot be opened",
            "Invalid plugin cache directory",
            "Error while installing … permission denied",
        ),
        reason="the folder in which providers are kept can't be used",
        fix="look at it with `ls -ld ~/.cache/tfgrid-compose/terraform-plugins`, or remove it; the next `up` makes it anew",
        about=(
            "All deployments share the providers in ~/.cache/tfgrid-compose/terraform-plugins. A run as another user, or "
            "a disk that is mounted read-only, makes it unusable."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="registry-tls",
        patterns=("registry.terraform.io … x509", "registry.opentofu.org … x509", "Error while installing … x509"),
        reason="this computer does not trust the certificate of the provider registry",
        fix="`date` shows whether the clock is right; behind a proxy that opens TLS, install its certificate, then run "
        "`tfgrid-compose up {name}`",
        about=(
            "Something between here and the registry answers in its place, the clock is wrong, or the system has no "
            "certificates: `apt-get install ca-certificates`. Nothing was downloaded."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-gone",
        patterns=("there is no package for",),
        reason="the provider that was fetched for this deployment is not on this computer any more",
        fix="tfgrid-compose up {name}",
        about=(
            "The cache ~/.cache/tfgrid-compose/terraform-plugins was emptied while a run was going on. The next run "
            "fetches the same version again: which one it was stands with the deployment."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="registry-unreachable",
        patterns=(
            "could not connect to registry",
            "failed to request discovery document",
            "Error while installing … dial tcp",
            "registry.terraform.io … context deadline exceeded",
            "registry.terraform.io … Client.Timeout",
            "registry.opentofu.org … context deadline exceeded",
            "registry.opentofu.org … Client.Timeout",
            "registry.terraform.io … no such host",
            "registry.opentofu.org … no such host",
            "could not query provider registry for",
        ),
        reason="the registry of Terraform providers does not answer",
        fix="check that this computer reaches the registry that the message names, then run `tfgrid-compose up {name}`",
        about=(
            "Terraform downloads the provider once, when a pattern is used for the first time, and keeps it in "
            "~/.cache/tfgrid-compose/terraform-plugins. Without a way to the registry that fails: registry.terraform.io for "
            "Terraform, registry.opentofu.org for OpenTofu. A proxy is taken from HTTPS_PROXY."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-version",
        patterns=("no available releases match the given constraints", "does not match configured version constraint"),
        reason="no release of the provider is of the version that the pattern asks for",
        fix="mend `version` in required_providers of the pattern",
        about=(
            "The version is misspelt, was never released, or is not built for this kind of computer. The registry's page "
            "of the provider lists the releases."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="lock-file-stale",
        patterns=("Inconsistent dependency lock file",),
        reason="the list of locked provider versions does not fit the pattern any more",
        fix="tfgrid-compose up {name}",
        about=(
            "Terraform writes down which provider versions it chose. The pattern has since been changed. The next `up` looks "
            "again, and chooses anew where the pattern asks for another version."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-checksum",
        patterns=(
            "match any of the checksums",
            "checksum list has no",
            "checksum mismatch",
            "error checking signature",
        ),
        reason="a provider that was downloaded is not the one that was expected",
        fix="run `rm -r ~/.cache/tfgrid-compose/terraform-plugins`, then `tfgrid-compose up {name}`",
        about=(
            "The file has another checksum than the registry or the lock file says. Most often a download was cut off and "
            "stayed in the cache. If it happens with an empty cache too, something between here and the registry changes "
            "files: find out what."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-not-found",
        patterns=("does not have a provider named",),
        reason="Terraform found no provider of the name that the pattern uses",
        fix="mend `source` in required_providers of the pattern; the grid's is threefoldtech/grid",
        about=(
            "The source of a provider is OWNER/NAME in a registry. `threefold/grid` is a stale name of the grid's "
            "provider. A module without required_providers looks for hashicorp/grid, which does not exist."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-install",
        patterns=(
            "Failed to query available provider packages",
            "Failed to install provider",
            "Failed to resolve provider packages",
        ),
        reason="Terraform could not get the provider that the pattern uses",
        fix="read the lines below, mend what they name, then run `tfgrid-compose up {name}`",
        about=(
            "Before its first run Terraform downloads the providers of a pattern into "
            "~/.cache/tfgrid-compose/terraform-plugins. The registry, a proxy, the folder's permissions or the version in "
            "required_providers stopped that; Terraform's own words say which."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="plugin-crashed",
        patterns=(
            "plugin crashed",
            "Plugin did not respond",
            "request was cancelled",
            "error reading from server: EOF",
            "transport is closing",
            "panic: runtime error",
        ),
        reason="the provider's process ended in the middle of its work",
        fix="run `tfgrid-compose up {name}` again; if it fails again, look at `tfgrid-compose logs {name} --hook terraform`",
        about=(
            "The provider crashed, or the system killed it for want of memory; `dmesg | tail` shows the latter. What had "
            "been made already is found and used by the next run."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="plugin-start",
        patterns=(
            "Failed to instantiate provider",
            "Unrecognized remote plugin message",
            "Failed to load plugin schemas",
            "Could not load the schema for provider",
            "Failed to obtain provider schema",
            "exec format error",
        ),
        reason="the provider's program could not be started",
        fix="run `rm -r ~/.cache/tfgrid-compose/terraform-plugins`, then `tfgrid-compose up {name}`",
        about=(
            "The file in the cache is damaged, is built for another kind of computer, or stands on a file system that is "
            "mounted noexec. Removing the cache downloads it anew."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="terraform-version",
        patterns=("Unsupported Terraform Core version", "Unsupported OpenTofu Core version"),
        reason="the pattern asks for another version of Terraform",
        fix="install that version and name it with --terraform, or mend required_version of the pattern",
        about=(
            "`required_version` in the pattern's files limits which Terraform may use them. OpenTofu counts its versions "
            "on its own."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="backend-changed",
        patterns=("Backend initialization required", "Backend configuration changed"),
        reason="Terraform's folder was prepared for another place of the state",
        fix="tfgrid-compose up {name}",
        about=(
            "`up` prepares the folder anew each time. If it says so again, the pattern has a backend block of its own: "
            "take it out, tfgrid-compose brings one."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="pattern-variable",
        patterns=("No value for required variable", "undeclared input variable", "Invalid value for variable"),
        reason="the pattern's Terraform files and its variables don't fit together",
        fix="mend the variables of the pattern; the message names the one",
        about=(
            "Every variable without a default needs a value from tfgrid-compose, from `variables` in pattern.yaml, or "
            "from --var. Its type and validation must accept that value."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="pattern-argument",
        patterns=(
            "Unsupported argument",
            "is not expected here",
            "Unsupported block type",
            "Missing required argument",
            "The argument … is required",
            "Insufficient … blocks",
            "Too many … blocks",
        ),
        reason="the pattern's Terraform files don't fit the schema of the provider",
        fix="mend the line that the message names, or pin the provider version that the pattern was written for",
        about=(
            "An argument is misspelt, is missing, or belongs to another version of the provider. Mounts of machines, for "
            "example, have `name` since 1.11.2 and had `disk_name` before."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="pattern-value",
        patterns=(
            "Incorrect attribute value type",
            "Inappropriate value for attribute",
            "Invalid function argument",
            "Invalid index",
            "Unsupported attribute",
            "Reference to undeclared",
            "Invalid reference",
            "Invalid expression",
            "Argument or block definition required",
            "Duplicate required providers configuration",
            "Duplicate resource",
            "Invalid for_each argument",
            "Invalid count argument",
        ),
        reason="the pattern's Terraform files have an error",
        fix="mend the line that the message names",
        about=(
            "Terraform understood the file but not this expression: a value of the wrong type, a name that does not "
            "exist, or something that is declared twice. `terraform validate` in the pattern's folder shows the same."
        ),
        scope=_TERRAFORM,
    ),
    Failure(
        code="provider-inconsistent",
        patterns=("produced inconsistent result after apply", "produced inconsistent final plan"),
        reason="the provider did something else than it had announced",
        fix="tfgrid-compose up {name}",
        about=(
            "That is an error of the provider, not of the app. What was made stands in the state, so another run usually "
            "goes through."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
    Failure(
        code="terraform-stopped",
        patterns=("operation canceled", "execution halted", "Interrupt received"),
        reason="Terraform was stopped before it was done",
        fix="tfgrid-compose up {name}",
        about=(
            "A signal reached Terraform: Ctrl-C, a terminal that closed, or a system that shut down. What was made stands "
            "in the state, and the next run goes on from there."
        ),
        transient=True,
        scope=_TERRAFORM,
    ),
)
