"""What a deployment will cost, before anything is bought, and whether its budget allows that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.price import DeploymentPrice, MachinePrice, asked_nodes, asked_rates, levels_text
from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.errors import ManifestError, UsageError
from tfgrid_compose.grids.models import Capacity, Node
from tfgrid_compose.grids.pricing import Rates, Size, machine_price


def price_of(context: Context) -> DeploymentPrice:
    """The price of what the context describes, with the network's and the account's rates; asked once for each context.

    What can't be asked is no error: the price is the one before discounts then, and `unasked` and the context say so.
    """
    known = context.price
    if known is not None and known.nodes == _wanted(context):
        return known
    if known is not None:
        rates, tft, unasked = known.rates, known.balance_tft, list(known.unasked)
    else:
        rates, tft, unasked = asked_rates(context.grid)
    nodes, twin, more = asked_nodes(context.grid, {id for ids in context.nodes.values() for id in ids})
    unasked += [text for text in more if text not in unasked]
    context.unchecked += [text for text in unasked if text not in context.unchecked]
    machines = _machines(context, context.sizes, rates, nodes, twin)
    context.price = DeploymentPrice(machines, rates, tft, context.grid.play_money, tuple(unasked))
    return context.price


def remembered(context: Context) -> dict[str, Any]:
    """The price as it's kept with the deployment, so that `ps` need not ask; with the rates that were asked before."""
    known = context.price or DeploymentPrice((), play_money=context.grid.play_money)
    nodes = {item.node: _as_node(item) for item in known.machines}
    price = replace(known, machines=_machines(context, context.sizes, known.rates, nodes, 1))
    return {key: value for key, value in price.to_dict().items() if key not in ("balance_tft", "unasked")}


def _wanted(context: Context) -> dict[str, list[int]]:
    return {role: list(nodes) for role, nodes in context.nodes.items() if nodes}


def _machines(
    context: Context, sizes: Mapping[str, RoleSizes], rates: Rates, nodes: Mapping[int, Node], twin: int, *, no_ipv4: bool = False
) -> tuple[MachinePrice, ...]:
    found, ipv4 = [], "ipv4" in context.networks.provision and not no_ipv4
    for role, size in sizes.items():
        disks = sum(disk.size for disk in context.disks) if context.pattern.pattern.roles[role].disks else 0
        whole = Size(size.cpu, size.memory / 1024, size.disk, 0.0, disks, int(ipv4))
        for id in context.nodes[role]:
            node = nodes.get(id)
            certified, rented = bool(node and node.certified), bool(node and twin and node.rented_by == twin)
            price = machine_price(whole, rates, certified=certified, rented=rented)
            found.append(MachinePrice(role, id, price, certified, rented))
    return tuple(found)


# Budget


def limit_of(context: Context) -> tuple[float, str] | None:
    """(USD a month, who says so): the smaller of --max-monthly and the manifest's budget; None when nobody set one."""
    limits = [
        (context.max_monthly, "--max-monthly"),
        (context.app.manifest.budget, f"`budget` of {context.app.manifest_path.name}"),
    ]
    return min(((usd, who) for usd, who in limits if usd is not None), default=None)


def over_budget(context: Context, price: DeploymentPrice) -> UsageError | None:
    """The refusal of what is dearer than the budget, with what it is made of and what would be cheaper."""
    limit = limit_of(context)
    if limit is None or round(price.usd_per_month, 2) <= limit[0]:
        return None
    found = sorted(cheaper(context, price), key=lambda item: item[1])
    fits = [f"{how} costs {usd:.2f} USD" for how, usd in found if round(usd, 2) <= limit[0]]
    raised = f"allow more: --max-monthly {_up(price.usd_per_month)}USD"
    if context.app.manifest.budget is not None and context.app.manifest.budget < price.usd_per_month:
        raised = f"allow more: set budget: {_up(price.usd_per_month)} in {context.app.manifest_path.name}"
    unknown = "; the account's discount could not be asked" if price.unasked and not price.play_money else ""
    return UsageError(
        f"{context.deployment.name} would cost {price.usd_per_month:.2f} USD a month, more than {limit[0]:.2f} USD",
        why=f"{limit[1]} allows no more; {levels_text(price.levels)}{unknown}",
        fix=f"{fits[-1]}; or {raised}" if fits else raised,
        details=[
            *(machine.text for machine in price.machines),
            *(f"{how}: {usd:.2f} USD a month" for how, usd in found),
        ],
        code="over-budget",
    )


def check_budget(context: Context, price: DeploymentPrice) -> None:
    """Raise `UsageError` with code `over-budget` when the price is above the budget."""
    found = over_budget(context, price)
    if found is not None:
        raise found


def _up(usd: float) -> int:
    return int(-(-usd // 1))


def cheaper(context: Context, price: DeploymentPrice) -> list[tuple[str, float]]:
    """(what to change, USD a month then), for each change that makes the deployment cheaper."""
    nodes = {item.node: _as_node(item) for item in price.machines}
    plain = {id: replace(node, certified=False) for id, node in nodes.items()}
    least = _smallest(context)

    def of(sizes: Mapping[str, RoleSizes], nodes: Mapping[int, Node], no_ipv4: bool) -> float:
        return sum(item.price.usd_per_month for item in _machines(context, sizes, price.rates, nodes, 1, no_ipv4=no_ipv4))

    ways = [
        ("--no-ipv4 (no public IPv4)", of(context.sizes, nodes, True)),
        ("--size dev (the smallest)", of(least, nodes, False)),
        ("--size dev --no-ipv4", of(least, nodes, True)),
        ("a node that is not certified", of(context.sizes, plain, False)),
    ]
    seen: dict[float, str] = {}
    for how, usd in ways:
        if round(usd, 2) < round(price.usd_per_month, 2):
            seen.setdefault(round(usd, 2), how)
    return [(how, usd) for usd, how in seen.items()]


def _as_node(item: MachinePrice) -> Node:
    none = Capacity(0, 0, 0)
    return Node(item.node, 0, "", "", "", "up", item.certified, none, none, "", 0, rented_by=1 if item.rented else 0)


def _smallest(context: Context) -> dict[str, RoleSizes]:
    """Sizes with --size dev; those of now where the app does not say what its least is."""
    try:
        return {
            name: resolve.sizes(context.app, name, role, {"size": "dev"}) for name, role in context.pattern.pattern.roles.items()
        }
    except ManifestError:
        return context.sizes
