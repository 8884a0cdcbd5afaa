"""`ps`, `status`, `logs`, `ssh`, `exec`, `address`, `inspect`, and the commands of apps."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Any

import click

from tfgrid_compose.cli.common import age
from tfgrid_compose.errors import TfgridError, UsageError
from tfgrid_compose.state.store import Deployment, Store

_APP = click.argument("app", required=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _find(store: Store, app: str | None) -> Deployment:
    from tfgrid_compose.deploy.lookup import find

    return find(store, app)


@click.command(epilog="Example:  tfgrid-compose ps --json | jq '.[].address'")
@_JSON
def ps(as_json: bool) -> None:
    """List deployments: name, status, network, address, release, price, age. Reads memory only, so it is quick.

    MONTH is what the last run found that it costs, in USD; `cost` asks the grid.
    """
    with Store() as store:
        rows = [{**item.summary(), "status": _real_status(item)} for item in store.deployments()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("Nothing is deployed.  tfgrid-compose up ./my-app", err=True)
        return
    from tfgrid_compose.cli.render import table

    now = time.time()
    cells = [[row["id"][:6], row["name"], row["status"], row["network"], row["node"], row["address"], row["release"],
              f"{row['usd_per_month']:.2f}" if row["usd_per_month"] is not None else "-",
              age(now - row["created"])] for row in rows]  # fmt: skip
    click.echo(table(["ID", "NAME", "STATUS", "NETWORK", "NODE", "ADDRESS", "RELEASE", "MONTH", "AGE"], cells))


def _real_status(item: Deployment) -> str:
    """What to call it: on its way only as long as somebody holds its lease, and broken when contracts of it ended."""
    if item.status in ("deploying", "destroying"):
        from tfgrid_compose.state import lease

        if lease.holder(f"{item.network}--{item.name}") is None:
            return "cut off"
    return "broken" if item.status == "running" and item.gone else item.status


@click.command(epilog="Example:  tfgrid-compose status my-app")
@_APP
@_JSON
def status(app: str | None, as_json: bool) -> None:
    """Show how a deployment is: machine, tunnel, addresses, release, service, price, last run.

    Exit codes: 0 all is well, 1 something is wrong (and said), 5 no such deployment.
    """
    from tfgrid_compose.deploy import operate

    with Store() as store:
        item = _find(store, app)
        facts = operate.status(store, item)
        item = _seen(store, item, facts["gone"])
    facts["status"] = _real_status(item)
    if (item.status, facts["status"]) == ("deploying", "cut off"):
        facts["problems"].insert(0, f"its last run was cut off; `tfgrid-compose up --resume {item.name}` goes on")
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(_status_text(facts))
    sys.exit(1 if facts["problems"] else 0)


def _seen(store: Store, item: Deployment, gone: list[int]) -> Deployment:
    """The deployment with what was seen of its contracts, kept for `ps` unless a run works on it now."""
    from tfgrid_compose.errors import BusyError, StateError
    from tfgrid_compose.state import lease

    if sorted(gone) != sorted(item.gone):
        with suppress(BusyError, StateError), lease.hold(f"{item.network}--{item.name}"):
            return store.save(store.deployment(item.id).with_data(gone=sorted(gone)))
    return item.with_data(gone=gone)


def _status_text(facts: dict[str, Any]) -> str:
    colour = "green" if not facts["problems"] and facts["status"] == "running" else "yellow"
    lines = [f"{click.style(facts['name'], bold=True)} ({facts['id'][:6]})  {click.style(facts['status'], fg=colour)}"]

    def line(key: str, value: object) -> None:
        if value not in (None, "", []):
            lines.append(f"  {key:<10}{value}")

    machine = facts["machine"]
    line("Network", f"{facts['network']}, pattern {facts['pattern']}, node {facts['node']}")
    for item in facts["addresses"]:
        line("Address", f"{item['address']}  ({item['network']}, machine {item['machine']})")
    for link in facts["links"]:
        line("Page", link)
    for text in _domain_lines(facts.get("domain")):
        line("Domain", text)
    if facts["tunnel"]:
        line("Tunnel", f"{facts['tunnel']['interface']} is {'up' if facts['tunnel']['up'] else 'down'}")
    if machine.get("reachable"):
        line("Machine", f"up {age(machine['uptime_seconds'])}, load {machine['load']}, disk {machine['disk']} free")
        line("Service", "" if machine["service"] == "-" else machine["service"])
    line("Release", facts["release"])
    line("Price", _price_text(facts["price"]))
    lines += [f"  {click.style('Warning', fg='yellow')}   {warning}" for warning in facts["warnings"]]
    if facts["last_run"]:
        run = facts["last_run"]
        line("Last run", f"{run['kind']} {run['outcome']} {age(run['ago_seconds'])} ago")
        if run["error"]:
            line("", f"{run['error'].get('what', '')}: {run['error'].get('why', '')}")
    lines += [click.style(f"  Problem   {problem}", fg="red") for problem in facts["problems"]]
    return "\n".join(lines)


def _price_text(price: dict[str, Any] | None) -> str:
    from tfgrid_compose.cli.cost import money

    if price is None:
        return ""
    month = money(price["usd_per_month"], price["tft_per_month"], 2, " a month")
    hour = money(price["usd_per_hour"], price["tft_per_hour"], 4, " an hour")
    off = "" if price["level"] == "none" else f", discount level {price['level']}"
    return f"{month}, {hour}{off}" + (", as of its last run" if price["from"] == "memory" else "")


def _domain_lines(domain: dict[str, Any] | None) -> list[str]:
    """Where the domain leads; the records to make, as long as it does not lead here."""
    if domain is None:
        return []
    leads = {True: "leads here", False: "does not lead here", None: "could not be asked for"}[domain["right"]]
    return [f"{domain['names'][0]} {leads}", *(domain["records"] if not domain["right"] else [])]


@click.command(epilog="Example:  tfgrid-compose logs my-app -f      tfgrid-compose logs my-app --hook setup")
@_APP
@click.option("-f", "--follow", is_flag=True, help="Keep printing what is added.")
@click.option("--since", metavar="TIME", help="Only what is newer: 10m, 2h, 1d, or a date.")
@click.option("-n", "--lines", type=click.IntRange(1), help="How many lines; 200 without --since.")
@click.option(
    "--hook", metavar="NAME", help="Whole output of a step's last run: setup, configure, healthcheck, platform, terraform."
)
@click.option("--run", "number", type=int, metavar="RUN", help="With --hook: of this run, instead of the newest.")
def logs(app: str | None, follow: bool, since: str | None, lines: int | None, hook: str | None, number: int | None) -> None:
    """Show the app's log from the machine's journal, or the kept output of a hook."""
    from tfgrid_compose.deploy import operate
    from tfgrid_compose.deploy.known import known_secrets
    from tfgrid_compose.drivers import ssh
    from tfgrid_compose.observe.flow import Flow
    from tfgrid_compose.observe.plain import coloured
    from tfgrid_compose.observe.redact import PROCESS

    mark = ssh.new_mark()
    with Store() as store:
        deployment = _find(store, app)
        PROCESS.add(*known_secrets(store, deployment))
        if hook:
            text = PROCESS.text(operate.hook_log(store, deployment, hook, number).read_text(errors="replace"))
            click.echo("\n".join(map(coloured, text.split("\n"))), nl=False)
            return
        command = operate.journal_command(deployment, follow=follow, since=since, lines=lines)
        words = operate.shell_argv(store, deployment, ssh.marked(command, mark, merged=True), tty=False, say=_say)
    with Flow(PROCESS, lambda line: click.echo(coloured(line))) as flow:
        code = ssh.follow(words, mark, flow.line, PROCESS.text)
    sys.exit(code)


def _over(function: Any) -> Any:
    """Options that choose a network, whatever is preferred."""
    for flags, kind in (
        (("--wireguard", "--wg", "-w"), "wireguard"), (("--mycelium", "--myc", "-m"), "mycelium"),
        (("--ipv4", "--ip4", "-4"), "ipv4"), (("--ipv6", "-6"), "ipv6"),
    ):  # fmt: skip
        function = click.option(*flags, "kind", flag_value=kind, help=f"Over its {kind} address.")(function)
    return function


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.command("ssh", epilog="Example:  tfgrid-compose ssh my-app")
@_APP
@_over
def ssh_command(app: str | None, kind: str | None) -> None:
    """Open a shell on the machine, as root, over the preferred address that answers."""
    from tfgrid_compose.deploy import operate
    from tfgrid_compose.drivers import ssh

    with Store() as store:
        words = operate.shell_argv(store, _find(store, app), None, tty=False, kind=kind or "", say=_say)
    ssh.replace_process(words)


class _ExecCommand(click.Command):
    """Knows where `--` stood: what comes before it names the deployment."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first `--`; options, which come first, are no words."""
        flags = next((place for place, word in enumerate(args) if not word.startswith("-") or word == "--"), 0)
        ctx.meta["split"] = args.index("--") - flags if "--" in args else None
        return super().parse_args(ctx, args)


@click.command(
    "exec", cls=_ExecCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example:  tfgrid-compose exec my-app -- systemctl status nginx",
)  # fmt: skip
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[APP] -- CMD…")
@_over
@click.pass_context
def exec_command(ctx: click.Context, words: tuple[str, ...], kind: str | None) -> None:
    """Run a command on the machine, as root. Its exit code and streams are passed through.

    One word is a shell line ('ls | wc -l'); several are a program with its arguments.
    """
    from tfgrid_compose.deploy import operate

    with Store() as store:
        deployment, command = _split(store, words, ctx.meta.get("split"))
        if not command:
            raise UsageError("exec needs a command", why="none was given", fix="tfgrid-compose exec my-app -- uptime")
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        argv, mark = _argv_of(store, deployment, operate.command_line(command), tty, kind or "")
    _pass_through(argv, mark)


def _argv_of(store: Store, deployment: Deployment, line: str, tty: bool, kind: str = "") -> tuple[list[str], str]:
    """(argv of ssh, the mark behind which the output of the line begins); on a terminal there is none, and all is shown."""
    from tfgrid_compose.deploy import operate
    from tfgrid_compose.drivers import ssh

    mark = "" if tty else ssh.new_mark()
    begin = f"printf '%s\\n' {mark}; " if mark else ""
    return operate.shell_argv(store, deployment, begin + line, tty=tty, kind=kind, say=_say), mark


def _pass_through(argv: list[str], mark: str) -> None:
    """Streams and exit code of a remote command are ours, but for what the machine's shell says before it."""
    from tfgrid_compose.drivers import ssh

    if not mark:
        ssh.replace_process(argv)
    sys.exit(ssh.relay(argv, mark))


def _split(store: Store, words: tuple[str, ...], split: int | None) -> tuple[Deployment, tuple[str, ...]]:
    """The deployment and the command; without `--`, a first word that names a deployment does."""
    if split is not None:
        if split > 1:
            raise UsageError(
                "exec takes one deployment before `--`", why=" ".join(words[:split]), fix="tfgrid-compose exec my-app -- CMD"
            )
        command = words[split:]
        return _find(store, words[0] if split else None), command[1:] if command[:1] == ("--",) else command
    if len(words) > 1:
        try:
            return _find(store, words[0]), words[1:]
        except TfgridError:
            pass
    if len(words) == 1 and any(words[0] in (item.name, item.id) for item in store.deployments()):
        return _find(store, words[0]), ()
    return _find(store, None), words


@click.command(epilog="Example:  curl $(tfgrid-compose address my-app)")
@_APP
@click.option("--all", "every", is_flag=True, help="All addresses with machine and network.")
@_JSON
def address(app: str | None, every: bool, as_json: bool) -> None:
    """Print the app's link, or its address when it has none."""
    from tfgrid_compose.deploy import operate

    with Store() as store:
        deployment = _find(store, app)
    links, primary, addresses = operate.links(deployment), operate.primary_address(deployment), operate.addresses(deployment)
    if as_json:
        click.echo(json.dumps({"links": links, "primary": primary, "addresses": addresses}))
    elif every:
        for item in addresses:
            click.echo(f"{item['address']}  {item['network']}  {item['machine']}")
    else:
        click.echo("\n".join(links) or primary)


@click.command(epilog="Example:  tfgrid-compose inspect my-app | jq .data.machines")
@_APP
def inspect(app: str | None) -> None:
    """Print all that is remembered of a deployment as JSON, without secrets."""
    with Store() as store:
        item = _find(store, app)
        facts = {
            "id": item.id, "name": item.name, "network": item.network, "status": item.status, "created": item.created,
            "updated": item.updated, "data": item.data, "steps": store.done(item.id), "runs": store.runs(item.id, 10),
            "releases": [vars(release) for release in store.releases(item.id)],
        }  # fmt: skip
    click.echo(json.dumps(facts, indent=2))


@click.command(
    "run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example:  tfgrid-compose run uptime my-app",
)  # fmt: skip
@click.option("--app-command", is_flag=True, hidden=True)
@click.argument("name", required=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[APP] [ARG…]")
def run_command(app_command: bool, name: str | None, words: tuple[str, ...]) -> None:
    """Run a command that the app or its pattern brings; without NAME, list them.

    `tfgrid-compose NAME` does the same for every name that is no command of tfgrid-compose.
    """
    from tfgrid_compose.deploy import operate

    with Store() as store:
        deployment, arguments = _target_of(store, name, words, app_command)
        if name is None:
            for known, item in operate.commands(deployment).items():
                click.echo(f"{known:<16}{item['description']}")
            return
        line = operate.app_command(deployment, name, arguments, builtin_names())
        tty = operate.commands(deployment)[name]["tty"] and sys.stdin.isatty() and sys.stdout.isatty()
        argv, mark = _argv_of(store, deployment, line, tty)
    _pass_through(argv, mark)


def builtin_names() -> list[str]:
    """Names of our own commands."""
    from tfgrid_compose.cli.main import COMMANDS

    return list(COMMANDS)


def _target_of(store: Store, name: str | None, words: tuple[str, ...], guessed: bool) -> tuple[Deployment, tuple[str, ...]]:
    if words:
        try:
            return _find(store, words[0]), words[1:]
        except TfgridError:
            pass
    try:
        return _find(store, None), words
    except TfgridError as error:
        if guessed:
            from tfgrid_compose.manifest.load import nearest

            raise UsageError(
                f"there is no command `{name}`", why="tfgrid-compose has none, and no deployed app here brings it",
                fix=nearest(str(name), builtin_names()) or "tfgrid-compose --help", code="command-unknown",
            ) from error  # fmt: skip
        raise
