"""`signin git` and `signout git`: git identity and servers for apps that want them."""

from __future__ import annotations

from pathlib import Path

import click

from tfgrid_compose.cli.common import confirm
from tfgrid_compose.cli.secretinput import given_secret
from tfgrid_compose.errors import NotFoundError, UsageError
from tfgrid_compose.grids import git
from tfgrid_compose.manifest.load import nearest


@click.command(
    "git",
    epilog="Example:  tfgrid-compose signin git --server forge.example.com --username ada      "
    "tfgrid-compose signin git --name 'Ada' --email ada@example.com",
)
@click.option("--server", metavar="HOST", help="The server, such as forge.example.com.")
@click.option("--platform", type=click.Choice(git.PLATFORMS), help="What it runs; guessed from its name.")
@click.option("--username", default="", metavar="NAME", help="Your name there.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Read the token from a file.")
@click.option("--default", "default", is_flag=True, help="Make it the one that apps get as GIT_SERVER; the first one is it.")
@click.option("--name", metavar="NAME", help="Name that commits are made with.")
@click.option("--email", metavar="MAIL", help="Mail address that commits are made with.")
def signin_git(
    server: str | None, platform: str | None, username: str, file: Path | None, default: bool, name: str | None, email: str | None
) -> None:
    """Keep a git server with its token, encrypted, and the identity of commits.

    The token is asked for and not shown; without a terminal it is read from standard input. Apps get them as variables when
    their manifest declares these: GIT_SERVER, GIT_USERNAME, GIT_TOKEN, TFGRID_GITHUB_TOKEN and others. TFGRID_GIT_NAME and
    TFGRID_GIT_EMAIL reach every hook. Other servers of the bash tool's credentials.yaml are used as they are.
    """
    if server is None and name is None and email is None:
        raise UsageError(
            "which git server?", why="neither a server nor a name or mail address was given",
            fix="tfgrid-compose signin git --server forge.example.com --username NAME",
        )  # fmt: skip
    if name is not None or email is not None:
        _keep_identity(name, email)
    if server is not None:
        _keep_server(server, platform, username, file, default)


def _keep_identity(name: str | None, email: str | None) -> None:
    from tfgrid_compose.state import settings

    before = settings.load()
    changed = {key: value for key, value in (("name", name), ("email", email)) if value is not None}
    path = settings.save(before.model_copy(update={"git": before.git.model_copy(update=changed)}))
    click.echo(f"Commits are made with {', '.join(changed.values()) or 'no name'} ({path}).")


def _keep_server(typed: str, platform: str | None, username: str, file: Path | None, default: bool) -> None:
    from tfgrid_compose.observe.redact import Secret
    from tfgrid_compose.state.store import Store

    host = git.host_of(typed)
    kind = platform or git.platform_of(host)
    token = Secret(given_secret("token", file))
    with Store() as store:
        git.keep(store, git.Server(host, kind, username, token, default))
        store.append_audit(action="signin git", deployment="", name=host, detail=username, outcome="succeeded")
    click.echo(f"The token of {host} ({kind}) is kept. Apps that declare GIT_TOKEN and the like get it with the next `up`.")
    if file:
        click.echo(f"{file} still holds it in plain text. Remove it when you have it elsewhere: rm {file}", err=True)


@click.command("git", epilog="Example:  tfgrid-compose signout git --server forge.example.com")
@click.option("--server", metavar="HOST", required=True, help="The server.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def signout_git(server: str, yes: bool) -> None:
    """Forget a git server and its token. Machines that have it keep it until the next `up`."""
    from tfgrid_compose.state.store import Store

    host = git.host_of(server)
    with Store() as store:
        kept = store.secret_names(git.OWNER)
        if host not in kept:
            raise NotFoundError(
                f"no token of {host} is kept", why=f"kept are those of {', '.join(kept) or 'no server'}",
                fix=nearest(host, kept) or "tfgrid-compose whoami shows servers", code="account-not-kept",
            )  # fmt: skip
        what, fix = f"forgetting the token of {host}", f"tfgrid-compose signout git --server {host} --yes"
        confirm(yes, f"Forget the token of {host} here?", default=False, what=what, fix=fix)
        git.forget(store, host)
        store.append_audit(action="signout git", deployment="", name=host, detail="", outcome="succeeded")
    click.echo(f"The token of {host} is forgotten.")
