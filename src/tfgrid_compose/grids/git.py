"""Git identity and servers for apps that want them: kept by `signin git`, or found in the bash tool's files.

The variables are those that the bash tool gives (facts, "Env exported by load_credentials").
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfgrid_compose.errors import GridError, UsageError
from tfgrid_compose.grids import oldplaces
from tfgrid_compose.grids.account import SIGNIN, anything_kept
from tfgrid_compose.observe.redact import PROCESS, Secret
from tfgrid_compose.state import settings
from tfgrid_compose.state.secrets import ACCOUNTS

if TYPE_CHECKING:
    from tfgrid_compose.state.store import Store

# The owner of all servers; each one is a secret, as JSON.
OWNER = f"{ACCOUNTS}git"
PLATFORMS = ("forgejo", "gitea", "github", "custom")
SECRETS = frozenset({"GIT_TOKEN", "TFGRID_GITHUB_TOKEN", "TFGRID_GITEA_TOKEN", "TFGRID_FORGEJO_TOKEN"})
NAMES = SECRETS | {
    "TFGRID_GIT_NAME", "TFGRID_GIT_EMAIL", "GIT_SERVER", "GIT_PLATFORM", "GIT_USERNAME", "TFGRID_GITEA_URL", "TFGRID_FORGEJO_URL",
}  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One git server; `origin` is `signin` or a file."""

    name: str
    platform: str
    username: str
    token: Secret
    default: bool = False
    origin: str = SIGNIN


def host_of(text: str) -> str:
    """The server's name in what a user typed, which may be a URL. Raises `UsageError`."""
    host = text.strip().removeprefix("https://").split("/")[0].split("@")[-1].lower()
    if not host or "://" in text.replace("https://", "", 1) or not all(sign.isalnum() or sign in ".-:" for sign in host):
        raise UsageError(
            "the git server has no name that can be used",
            why="it must be a name such as forge.example.com, reached with https",
            fix="tfgrid-compose signin git --server forge.example.com --username NAME",
            code="git-server-invalid",
        )
    return host


def platform_of(host: str) -> str:
    """What a server most likely runs, from its name."""
    known = {"github": "github", "gitea": "gitea", "forge": "forgejo", "codeberg": "forgejo"}
    return next((platform for word, platform in known.items() if word in host), "custom")


def identity() -> tuple[str, str]:
    """(name, mail address) that commits are made with; empty where nobody said so."""
    chosen = settings.load().git
    try:
        old = oldplaces.credentials().get("git")
    except GridError:
        old = None  # Only a name is lost, and every app gets it, wanted or not.
    old = old if isinstance(old, dict) else {}
    return chosen.name or str(old.get("name") or ""), chosen.email or str(old.get("email") or "")


def identity_environment() -> dict[str, str]:
    """The identity as every hook gets it."""
    name, email = identity()
    return {"TFGRID_GIT_NAME": name, "TFGRID_GIT_EMAIL": email}


def environment() -> dict[str, str]:
    """Variables for apps that declare them; those in `SECRETS` are secret. Raises `GridError` and `StateError`."""
    found = {name: value for name, value in identity_environment().items() if value}
    known = servers()
    for server in reversed(known):
        found |= _of_platform(server)
    first = next((item for item in known if item.default), known[0] if known else None)
    if first:
        found |= {
            "GIT_SERVER": first.name, "GIT_PLATFORM": first.platform, "GIT_USERNAME": first.username,
            "GIT_TOKEN": first.token.reveal(),
        }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _of_platform(server: Server) -> dict[str, str]:
    token = server.token.reveal()
    if server.platform == "github":
        return {"TFGRID_GITHUB_TOKEN": token}
    if server.platform in ("gitea", "forgejo"):
        name = f"TFGRID_{server.platform.upper()}"
        return {f"{name}_URL": f"https://{server.name}", f"{name}_TOKEN": token}
    return {}


def servers() -> list[Server]:
    """All servers, those that `signin git` keeps first, the default one before the others."""
    found = {server.name: server for server in _old()}
    if anything_kept():
        from tfgrid_compose.state.store import Store

        with Store() as store:
            found |= {server.name: server for server in kept_in(store)}
    return sorted(found.values(), key=lambda server: (server.origin != SIGNIN, not server.default))


def kept_in(store: Store) -> list[Server]:
    """What `signin git` keeps."""
    found = []
    for name in store.secret_names(OWNER):
        facts = json.loads(store.secret(OWNER, name) or b"{}")
        PROCESS.add(facts["token"])
        found.append(Server(name, facts["platform"], facts["username"], Secret(facts["token"]), facts["default"]))
    return found


def keep(store: Store, server: Server) -> None:
    """Keep a server encrypted; the first one is the default, and there is only one default."""
    others = [item for item in kept_in(store) if item.name != server.name]
    default = server.default or not any(item.default for item in others)
    changed = {server.name: _facts(server, default)}
    if default:
        changed |= {item.name: _facts(item, False) for item in others if item.default}
    store.set_secrets(OWNER, changed)


def _facts(server: Server, default: bool) -> bytes:
    facts = {
        "platform": server.platform, "username": server.username, "token": server.token.reveal(), "default": default,
        "changed": time.time(),
    }  # fmt: skip
    return json.dumps(facts).encode()


def forget(store: Store, name: str) -> None:
    """Forget a server."""
    store.set_secret(OWNER, name, None)


def _old() -> list[Server]:
    """The bash tool's servers. Raises `GridError` when its file can't be read."""
    data = oldplaces.credentials()
    rows = data.get("git_servers")
    found = [_old_server(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    for platform, host in (("github", "github.com"), ("gitea", "")):
        one = data.get(platform)
        if isinstance(one, dict) and one.get("token"):
            name = host or str(one.get("url") or "").removeprefix("https://").strip("/")
            found.append(_old_server({"name": name, "platform": platform, "token": one["token"]}))
    return [server for server in found if server.name and server.token.reveal()]


def _old_server(row: dict[str, Any]) -> Server:
    token = str(row.get("token") or "")
    PROCESS.add(token)
    platform = str(row.get("platform") or "custom")
    return Server(
        str(row.get("name") or ""), platform if platform in PLATFORMS else "custom", str(row.get("username") or ""),
        Secret(token), row.get("default") is True, str(oldplaces.credentials_file()),
    )  # fmt: skip
