"""What an operator asks of a deployment that exists: state, links, logs, commands."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.connect import reachable
from tfgrid_compose.deploy.context import addresses_of, deployment_folder
from tfgrid_compose.deploy.records import view
from tfgrid_compose.deploy.steps.layout import ROOT
from tfgrid_compose.deploy.turn import lease_name
from tfgrid_compose.drivers import ssh, wireguard
from tfgrid_compose.errors import NotFoundError, ReachError, TfgridError, UsageError
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.manifest.load import load_app, nearest
from tfgrid_compose.manifest.scripts import release_file
from tfgrid_compose.patterns.load import load as load_pattern
from tfgrid_compose.state import lease, paths, settings
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.words import named

_FACTS = """ps -o etimes= -p 1 | tr -d ' '; cat /proc/loadavg | cut -d' ' -f1
df -h --output=pcent,avail / | tail -n1; readlink {current} || echo
[ -z {service} ] && echo - || systemctl is-active {service}; systemctl is-system-running
"""


def hook_machine(deployment: Deployment) -> dict[str, Any]:
    """The machine on which the app runs. Raises `NotFoundError` when there is none yet."""
    if not deployment.machines:
        raise NotFoundError(
            f"{deployment.name} has no machine",
            why=f"its status is {deployment.status}",
            fix=f"tfgrid-compose up {shlex.quote(deployment.app_dir)}",
            code="machine-missing",
        )
    role = load_pattern(str(deployment.data["pattern"])).pattern.hook_role()
    return next((machine for machine in deployment.machines if machine["role"] == role), deployment.machines[0])


def primary_address(deployment: Deployment) -> str:
    """The address on which the machine was reached."""
    machine = hook_machine(deployment)
    return str(machine.get("address") or next((address for _, address in addresses_of(deployment, machine)), ""))


def links(deployment: Deployment) -> list[str]:
    """URLs of the manifest's ports that are called http or https, or have such a number."""
    found = []
    host = primary_address(deployment)
    host = f"[{host}]" if ":" in host else host
    for port in deployment.data.get("ports", []):
        number, name = port["number"], port["name"]
        scheme = "https" if name == "https" or number == 443 else "http" if name.startswith("http") or number == 80 else ""
        if scheme:
            usual = (scheme, number) in (("http", 80), ("https", 443))
            found.append(f"{scheme}://{host}{'' if usual else f':{number}'}/")
    return found


def addresses(deployment: Deployment) -> list[dict[str, str]]:
    """Every address of every machine, the preferred first."""
    return [
        {"machine": machine["name"], "network": kind, "address": address}
        for machine in deployment.machines
        for kind, address in addresses_of(deployment, machine)
    ]


def status(store: Store, deployment: Deployment) -> dict[str, Any]:
    """What is remembered of it with what is really there: tunnel, login, release, service, price, last run."""
    interface = str(deployment.data.get("interface", ""))
    facts: dict[str, Any] = {**deployment.summary(), "addresses": addresses(deployment), "links": []}
    if deployment.machines:
        facts |= {"address": primary_address(deployment), "links": links(deployment)}
    config = store.secret(deployment.id, "wireguard")
    facts["tunnel"] = {"interface": interface, "up": wireguard.is_up(interface)} if config else None
    facts["machine"] = _machine_facts(store, deployment) if deployment.machines else {"reachable": False}
    live, known = facts["machine"].get("release", ""), facts["release"]
    leads = view(deployment, hook_machine(deployment)) if deployment.machines else None
    facts["domain"] = leads.to_dict() if leads else None
    facts["price"], facts["warnings"], facts["contracts"], facts["gone"] = _on_grid(deployment)
    facts["usd_per_month"] = facts["price"]["usd_per_month"] if facts["price"] else None
    facts["problems"] = _problems(facts, live, known)
    if leads and leads.problem:
        facts["problems"].append(f"{leads.problem}; `tfgrid-compose dns {deployment.name}` says more")
    runs = store.runs(deployment.id, 1)
    facts["last_run"] = _last_run(store, runs[0]) if runs else None
    return facts


def _problems(facts: dict[str, Any], live: str, known: str) -> list[str]:
    found = []
    if facts.get("gone"):
        how = "`tfgrid-compose up --repair` makes them anew, without their data" if known else "`tfgrid-compose up` goes on"
        found.append(f"{named('contract', facts['gone'])} ended on the grid; {how}")
    if facts["status"] in ("failed", "destroying"):
        found.append(
            f"its last run did not succeed; `tfgrid-compose {'down' if facts['status'] == 'destroying' else 'up'}` goes on"
        )
    if facts["tunnel"] and not facts["tunnel"]["up"]:
        found.append(f"the tunnel {facts['tunnel']['interface']} is down; `tfgrid-compose up` brings it back")
    if not facts["machine"].get("reachable"):
        more = f"; `tfgrid-compose drift {facts['name']}` says what is missing" if known and not found else ""
        found.append(f"the machine does not answer: {facts['machine'].get('why') or _unmade(facts)}{more}")
    elif known and live != known:
        found.append(f"release {live or 'none'} is current on the machine, {known} was deployed")
    if facts["machine"].get("service") in ("failed", "inactive"):
        found.append(f"its service is {facts['machine']['service']}; `tfgrid-compose logs` says why")
    return found


def _unmade(facts: dict[str, Any]) -> str:
    """Why no machine is known: none was bought, or the run that bought it never got to its end."""
    if not facts.get("contracts"):
        return "it was never made"
    left = f"{named('contract', facts['contracts'])} {'stands' if len(facts['contracts']) == 1 else 'stand'}, and cost"
    return f"the run that made it was cut off; {left}; `tfgrid-compose up` goes on with them, `down` removes them"


def _machine_facts(store: Store, deployment: Deployment) -> dict[str, Any]:
    target = reachable(store, deployment, hook_machine(deployment))
    connection = ssh.Connection(target)
    service = shlex.quote(str(deployment.data.get("service") or ""))
    script = _FACTS.format(current=shlex.quote(f"{ROOT}/{deployment.name}/current"), service=service)
    try:
        done = connection.run(f"sh -c {shlex.quote(script)}", timeout=15)
    except ReachError as error:
        return {"reachable": False, "why": error.why}
    finally:
        connection.close()
    lines = [*done.stdout.splitlines(), *[""] * 6]
    return {
        "reachable": True, "address": target.address,
        "uptime_seconds": int(lines[0]) if lines[0].isdecimal() else 0, "load": lines[1],
        "disk": " ".join(lines[2].split()),
        "release": lines[3].removeprefix("releases/"), "service": lines[4], "system": lines[5],
    }  # fmt: skip


def run_outcome(run: dict[str, Any]) -> str:
    """How a run ended; one without an end is `running` only while somebody holds its lease."""
    if run["outcome"]:
        return str(run["outcome"])
    held = lease.holder(lease_name(run["name"], run["network"]))
    return "running" if held is not None and held.get("pid", run["pid"]) == run["pid"] else "cut off"


def _last_run(store: Store, run: dict[str, Any]) -> dict[str, Any]:
    steps = [{"step": step["name"], "outcome": step["outcome"] or "unfinished"} for step in store.steps(run["id"])]
    outcome = run_outcome(run)
    return {"run": run["id"], "kind": run["kind"], "outcome": outcome, "steps": steps, "error": run["error"],
            "ago_seconds": max(0, int(time.time() - (run["ended"] or run["started"])))}  # fmt: skip


def _on_grid(deployment: Deployment) -> tuple[dict[str, Any] | None, list[str], list[int], list[int]]:
    """(what the live contracts cost, warnings about the balance, contracts that stand, those that ended).

    Where the grid can't say, no price, and what is remembered of contracts.
    """
    from tfgrid_compose.deploy.spending import purse, short_balance

    known = [int(id) for id in deployment.data.get("contracts", [])]
    try:
        grid = open_grid(deployment.network)
        found = purse(grid, [deployment])
    except TfgridError:
        return None, [], known, deployment.gone
    mine = next(item for item in found.spendings if item.deployment == deployment.id)
    short = short_balance(found.days, settings.load().balance_days, found.tft)
    price = None if mine.usd_per_hour is None and mine.tft_per_hour is None else mine.to_dict()
    live = [cost.contract.id for cost in mine.costs]
    gone = deployment.gone
    if found.listed:
        with suppress(TfgridError):
            # One that the directory does not list may live all the same.
            gone = [id for id in known if id not in live and not grid.alive([id])]
    if gone and not mine.costs:
        price = None
    return price, [short] if short else [], sorted(live) if found.listed else known, gone


# Logs


def hook_log(store: Store, deployment: Deployment, hook: str, number: int | None = None) -> Path:
    """The log of a step, of one run or the newest there is. Raises `NotFoundError` that lists what there is."""
    if "/" in hook or hook.startswith("."):
        raise UsageError(f"`{hook}` is no name of a step", why="it holds a path", fix="tfgrid-compose logs --hook setup")
    folder = deployment_folder(deployment) / "logs"
    runs = sorted(folder.glob("run-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    runs = [run for run in runs if number in (None, int(run.name.split("-")[1]))]
    for run in runs:
        path = paths.below(run, f"{hook}.log")
        if path.is_file():
            return path
    known = sorted({path.stem for run in runs for path in run.glob("*.log")})
    raise NotFoundError(
        f"there is no log of `{hook}`",
        why=f"there are logs of {', '.join(known)}" if known else "no run has written one",
        fix=nearest(hook, known) or "tfgrid-compose status",
        code="log-not-found",
    )


def journal_command(deployment: Deployment, *, follow: bool, since: str | None, lines: int | None) -> str:
    """The remote command that prints the app's log: the last 200 lines unless `since` or `lines` say otherwise."""
    words = ["journalctl", "--no-pager", "-o", "short-iso"]
    service = deployment.data.get("service")
    if service:
        words += ["-u", str(service)]
    words += ["--since", _since(since)] if since else []
    words += ["-n", str(lines or 200)] if lines or not since else []
    if follow:
        words.append("-f")
    return shlex.join(words)


def _since(text: str) -> str:
    """`10m`, `2h`, `1d` as journalctl writes them; anything else is passed on."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdigit() and text[-1:] in units:
        return f"{text[:-1]} {units[text[-1]]} ago"
    return text


# Commands


def shell_argv(
    store: Store, deployment: Deployment, command: str | None, *, tty: bool, kind: str = "", say: Callable[[str], None] = print
) -> list[str]:
    """The argv of ssh for a login or a command, on the preferred address that answers, or on the one of network `kind`.

    `say` is told when that is not the address which worked last. Raises `UsageError` when the machine has none of `kind`.
    """
    machine = hook_machine(deployment)
    target = reachable(store, deployment, machine, kind)
    if not kind and machine.get("address") not in (None, target.address):
        say(f"{machine['address']} does not answer; using {target.address}")
    _tell_of_tunnel(store, deployment, target.address, say)
    return ssh.argv(target, command, tty=tty, share=False)


def _tell_of_tunnel(store: Store, deployment: Deployment, address: str, say: Callable[[str], None]) -> None:
    """Say that the way to the machine is a tunnel that is down: ssh would only say that nobody answers."""
    interface = str(deployment.data.get("interface", ""))
    through = any(item["address"] == address and item["network"] == "wireguard" for item in addresses(deployment))
    if through and store.secret(deployment.id, "wireguard") and not wireguard.is_up(interface):
        say(f"the tunnel {interface} is down; `tfgrid-compose up {deployment.name}` brings it back")


def command_line(words: Sequence[str]) -> str:
    """A remote command: one word is a shell line, several are taken as they are."""
    return words[0] if len(words) == 1 else shlex.join(words)


def commands(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Commands that the app and its pattern bring: {name: script, description, args, from, tty}."""
    found: dict[str, dict[str, Any]] = {}
    pattern = load_pattern(str(deployment.data["pattern"])).pattern
    for name, item in pattern.commands.items():
        found[name] = {"script": item.run, "description": item.description, "args": "", "from": "pattern", "tty": True}
    for name, command in load_app(Path(deployment.app_dir), file=deployment.data.get("manifest_name")).manifest.commands.items():
        found[name] = {"script": command.script, "description": command.description, "args": command.args, "from": "app",
                       "tty": command.allocate_tty}  # fmt: skip
    return found


def app_command(deployment: Deployment, name: str, arguments: Sequence[str], builtin: Sequence[str] = ()) -> str:
    """The remote command line of an app's or pattern's command.

    Raises `UsageError` for a name that is none, with the nearest of them and of our own (`builtin`).
    """
    known = commands(deployment)
    if name not in known:
        raise UsageError(
            f"there is no command `{name}`",
            why=f"{deployment.name} brings {', '.join(known)}" if known else f"{deployment.name} brings none",
            fix=nearest(name, [*known, *builtin]) or "tfgrid-compose --help",
            code="command-unknown",
        )
    script = known[name]["script"]
    if known[name]["from"] == "app" and release_file(script) is not None:
        script = f"{ROOT}/{deployment.name}/current/{script.lstrip()}"
    environment = f"{ROOT}/{deployment.name}/current/.tfgrid/environment"
    line = script + (" " + shlex.join(arguments) if arguments else "")
    program = files("tfgrid_compose.deploy.onmachine").joinpath("command.py").read_text()
    return f"exec /usr/bin/python3 -I -c {shlex.quote(program)} {shlex.quote(environment)} {shlex.quote(line)}"
