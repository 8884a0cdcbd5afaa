"""Entry point: finds the command, loads only its module, turns errors into a message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from contextlib import AbstractContextManager

import click
from click.shell_completion import CompletionItem

from tfgrid_compose import __version__
from tfgrid_compose.cli import stop, streams
from tfgrid_compose.errors import StateError, TfgridError, UsageError

# name: (module, attribute, one line of help). Help and completion load none of the modules.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("up", "up", "Deploy an app, or bring its deployment up to date."),
    "plan": ("up", "plan", "Show what `up` would do."),
    "down": ("down", "down", "Destroy a deployment and verify that nothing is left."),
    "rollback": ("rollback", "rollback", "Go back to an earlier release."),
    "history": ("rollback", "history", "List the releases of a deployment."),
    "diff": ("rollback", "diff", "Compare releases, or a release with the app folder."),
    "drift": ("drift", "drift", "Compare what was deployed with what is there."),
    "runs": ("runs", "runs", "List runs; `runs cancel` stops one."),
    "ps": ("operate", "ps", "List deployments."),
    "status": ("operate", "status", "Show a deployment: machine, tunnel, release, health."),
    "logs": ("operate", "logs", "Show the app's log, or the output of a hook."),
    "ssh": ("operate", "ssh_command", "Open a shell on the machine."),
    "exec": ("operate", "exec_command", "Run a command on the machine."),
    "address": ("operate", "address", "Print addresses and links."),
    "inspect": ("operate", "inspect", "Print all that is remembered of a deployment."),
    "run": ("operate", "run_command", "Run a command that the app or its pattern brings."),
    "init": ("app", "init", "Write a new app folder that deploys."),
    "validate": ("app", "validate", "Check an app folder."),
    "schema": ("app", "schema", "Print the manifest's JSON Schema for editors."),
    "patterns": ("app", "patterns", "List patterns."),
    "nodes": ("nodes", "nodes", "Browse the grid's nodes; show one; keep favourites."),
    "farms": ("nodes", "farms", "List the grid's farms."),
    "favorites": ("nodes", "favorites", "List, add and remove favourite nodes."),
    "cost": ("cost", "cost", "Show what deployments cost, and how long the balance lasts."),
    "contracts": ("contracts", "contracts", "List, show, cancel and watch contracts."),
    "network": ("network", "network", "Choose networks of machines, and which address is used first."),
    "dns": ("dns", "dns", "Show, make and check the record of a deployment's domain."),
    "whitelist": ("preferences", "whitelist", "Nodes and farms to choose from."),
    "blacklist": ("preferences", "blacklist", "Nodes and farms never to choose."),
    "preferences": ("preferences", "preferences", "Show or reset what is preferred of nodes."),
    "config": ("preferences", "config", "Show and change the configuration."),
    "signin": ("account", "signin", "Keep a grid account, encrypted."),
    "signout": ("account", "signout", "Forget a grid account."),
    "whoami": ("account", "whoami", "Show the account: address, twin, balance."),
    "secrets": ("secrets", "secrets", "Set, list and unset values; rotate the key."),
    "audit": ("audit", "audit", "Show who changed what; verify the log."),
    "state": ("state", "state", "Check, back up, restore, repair, move what is remembered."),
    "orphans": ("orphans", "orphans", "List what carries our mark on the grid and is not remembered."),
    "explain": ("explain", "explain", "Explain an error code: reason, fix, what to look at."),
    "doctor": ("doctor", "doctor", "Check this computer; --fix installs what is missing."),
    "localgrid": ("localgrid", "localgrid", "The grid on this computer: up, status, serve, down, reset."),
    "completion": ("app", "completion", "Print the completion script for bash, zsh or fish."),
}


# Of a socket's 107 bytes, what names like `mitogen_unix_….sock` leave.
_LONGEST_TMPDIR = 70
# Names that the bash tool, or fingers, know.
ALIASES = {"wl": "whitelist", "bl": "blacklist", "pref": "preferences", "fav": "favorites", "connect": "ssh"}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(f"tfgrid_compose.cli.{module}"), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table itself is the help, so that --help imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names from the table, so that pressing Tab imports nothing."""
        found = [CompletionItem(name, help=text) for name, (_, _, text) in COMMANDS.items() if name.startswith(incomplete)]
        return found if not incomplete.startswith("-") else super().shell_complete(ctx, incomplete)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """A name that is no command of ours may be one of the app."""
        name = args[0] = ALIASES.get(args[0], args[0])
        if name not in COMMANDS and not name.startswith("-"):
            runner = self.get_command(ctx, "run")
            return "run", runner, ["--app-command", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it without an account:  tfgrid-compose init my-app && tfgrid-compose up my-app",
)
@click.version_option(__version__, "-v", "--version", prog_name="tfgrid-compose")
@click.option("-f", "--file", metavar="NAME", help="Name of the manifest, if not tfgrid-compose.yaml.")
@click.pass_context
def cli(ctx: click.Context, file: str | None) -> None:
    """One command from an app folder to a running app on the ThreeFold Grid, or on a grid of your own machine."""
    ctx.obj = {"file": file}


def _prepare() -> None:
    """What the process needs before it does anything: PATH, signals, streams."""
    # A normal user's PATH on Debian lacks these folders, and nft, wg-quick's helpers and others stand there.
    os.environ["PATH"] = ":".join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    # Each of these folders takes sockets of programs that we start, and a socket's path has an end.
    if len(os.environ.get("TMPDIR", "")) > _LONGEST_TMPDIR:
        os.environ["TMPDIR"] = "/tmp"  # noqa: S108 - each program makes a name of its own there
    streams.prepare()
    stop.prepare()


def main() -> None:
    """Run the command line and exit."""
    _prepare()
    try:
        sys.exit(_outcome())
    finally:
        streams.give_up()


def _outcome() -> int:
    """Run the command line; the exit code, after everything that there is to say."""
    try:
        code = cli.main(standalone_mode=False, prog_name="tfgrid-compose")
        streams.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return _print_text("Stopped.", 130)
    except click.ClickException as error:
        vars(error)["message"] = _in_words(error.message)  # declared final, and shown by show()
        if "--json" in sys.argv:
            return _print_error(UsageError(error.format_message(), fix="tfgrid-compose --help"))
        with _as_far_as_possible():
            error.show()
        return 2
    except TfgridError as error:
        return _print_error(error)
    except KeyboardInterrupt:
        return _print_text("Stopped. Running the same command again goes on from here.", 130)
    except BrokenPipeError:  # Whoever reads has read enough.
        return 0
    except OSError as error:
        return _print_os_error(error)
    except Exception as error:  # Every other error is a bug of ours, and no user reads a traceback.
        return _print_bug(error)


def _as_far_as_possible() -> AbstractContextManager[None]:
    """What is to be said of a failure may fail itself; the exit code says it then."""
    return contextlib.suppress(BrokenPipeError, streams.OutputError)


def _in_words(message: str) -> str:
    """The message with words of people for the names that click gives to types."""
    for name, words in (("integer", "whole number"), ("float", "number")):
        for kind in (f"{name} range", name):
            message = message.replace(f"is not a valid {kind}", f"is no {words}")
    return message


def _print_text(text: str, code: int) -> int:
    with _as_far_as_possible():
        click.echo(text, err=True)
    return code


def _know_own_words() -> None:
    """Folders that stand in our sentences, whatever secret has the same name."""
    from pathlib import Path

    from tfgrid_compose.observe.redact import PROCESS
    from tfgrid_compose.state import paths

    PROCESS.own.add(os.environ.get("PWD", ""), str(Path.home()), str(paths.state_dir()), str(paths.config_dir()))


def _print_error(error: TfgridError) -> int:
    from tfgrid_compose.cli.render import error_text
    from tfgrid_compose.observe.redact import PROCESS

    _know_own_words()
    if "--json" in sys.argv:
        import json

        with _as_far_as_possible():
            click.echo(json.dumps({"error": PROCESS.facts(error.to_dict())}))
    return _print_text(error_text(error), error.exit_code)


def _print_os_error(error: OSError) -> int:
    """A full disk or a missing right can meet any write; everything else is a bug."""
    import errno
    from pathlib import Path

    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
        return _print_bug(error)
    from tfgrid_compose.state import paths

    if error.filename:
        return _print_error(paths.write_error(Path(os.fsdecode(error.filename)), error))
    # Which file it was is not known, so none is blamed.
    return _print_error(
        StateError(
            "a file can't be written",
            why=error.strerror or str(error),
            fix="`df -h` shows whether a disk is full",
            code="disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "state-unwritable",
        )  # fmt: skip
    )


def _print_bug(error: Exception) -> int:
    from tfgrid_compose.cli.bug import save_report
    from tfgrid_compose.state.check import damage_behind

    damage = damage_behind(error)
    if damage:
        return _print_error(damage)

    path = save_report(error)
    lines = (
        f"Bug: tfgrid-compose failed in a way that it can't explain ({type(error).__name__}).",
        f"  Report:  {path}",
        "  Next:    run the command again; if it fails again, file an issue with the report",
    )
    return _print_text("\n".join(lines), 70)
