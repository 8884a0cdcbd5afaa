"""What a deployment costs: its price before anything is bought, the budget that it must keep to, what the balance lasts for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tfgrid_compose.deploy import resolve
from tfgrid_compose.errors import GridError, ManifestError, TfgridError, UsageError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import Capacity, Node
from tfgrid_compose.grids.pricing import (
    HOURS_PER_MONTH,
    LIST_RATES,
    Level,
    Price,
    Rates,
    Size,
    half_up,
    machine_price,
    shares,
    sums,
)

if TYPE_CHECKING:
    from tfgrid_compose.deploy.context import Context
    from tfgrid_compose.deploy.resolve import RoleSizes


@dataclass(frozen=True)
class MachinePrice:
    """A machine of a role on a node; `rented`: the account rents the whole node and pays no machine on it."""

    role: str
    node: int
    price: Price
    certified: bool = False
    rented: bool = False

    @property
    def usd_per_month(self) -> float:
        """USD a month that are paid, as it is shown."""
        return half_up(self.price.usd_per_month, 2)

    @property
    def text(self) -> str:
        """The price of a month and its parts, for people."""
        months = {name: usd * HOURS_PER_MONTH for name, usd in self.price.parts.items()}
        whole = half_up(self.price.list_usd_per_month, 2)
        parts = ", ".join(f"{name} {usd:.2f}" for name, usd in shares(whole, months).items())
        # A plan may have no node yet, where nodes can't be asked for.
        where = f"{self.role} on {'certified ' if self.certified else ''}node {self.node}" if self.node else self.role
        if not parts:
            return f"{where}: nothing, because you rent the node"
        tft = self.price.tft_per_month
        known = f"{self.usd_per_month:.2f} USD a month" + (f" ({half_up(tft, 2):.2f} TFT)" if tft is not None else "")
        return f"{where}: {known}; {'before discounts ' if self.price.level.discount else ''}{parts}"


@dataclass(frozen=True)
class DeploymentPrice:
    """The machines' prices and what they add up to; `unasked` says what could not be asked, a sentence each."""

    machines: tuple[MachinePrice, ...]
    rates: Rates = LIST_RATES
    balance_tft: float | None = None
    play_money: bool = False
    unasked: tuple[str, ...] = ()

    @property
    def nodes(self) -> dict[str, list[int]]:
        """{role: nodes}, as in a context."""
        found: dict[str, list[int]] = {}
        for machine in self.machines:
            found.setdefault(machine.role, []).append(machine.node)
        return found

    @property
    def usd_per_hour(self) -> float:
        """USD an hour that are paid."""
        return sum(machine.price.usd_per_hour for machine in self.machines)

    @property
    def usd_per_month(self) -> float:
        """USD a month that are paid: what its machines' lines show, added up."""
        return half_up(sum(machine.usd_per_month for machine in self.machines), 2)

    @property
    def list_usd_per_hour(self) -> float:
        """USD an hour before discounts."""
        return sum(machine.price.list_usd_per_hour for machine in self.machines)

    @property
    def tft_per_hour(self) -> float | None:
        """TFT an hour; None when nobody knows what a TFT costs."""
        return self.rates.tft(self.usd_per_hour)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The discount levels of its machines, the lowest first, each once."""
        return tuple(sorted({machine.price.level for machine in self.machines}, key=lambda level: level.discount))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **sums(self.usd_per_hour, self.list_usd_per_hour, self.rates), "usd_per_month": self.usd_per_month,
            "levels": [level.name for level in self.levels], "usd_per_tft": self.rates.usd_per_tft or None,
            "balance_tft": self.balance_tft, "play_money": self.play_money, "unasked": list(self.unasked),
            "machines": [
                {
                    "role": item.role, "node": item.node or None, "certified": item.certified, "rented": item.rented,
                    **item.price.to_dict(),
                }
                for item in self.machines
            ],
        }  # fmt: skip


def levels_text(levels: tuple[Level, ...]) -> str:
    """`discount level silver (40 %)`, or `no discount`."""
    named = [f"{level.name} ({level.discount:.0%})" for level in levels if level.discount]
    return f"discount level {', '.join(named)}" if named else "no discount"


# Asking


def asked_rates(grid: Grid) -> tuple[Rates, float | None, list[str]]:
    """(rates, free balance in TFT, what could not be asked). Play money earns no discount."""
    rates, tft, unasked = LIST_RATES, None, []
    try:
        rates = grid.rates()
    except TfgridError as error:
        unasked.append(f"the price of a TFT ({error.what})")
    else:
        unasked += [] if rates.usd_per_tft > 0 else ["the price of a TFT, so sums are in USD only"]
    try:
        tft = grid.account().tft
    except TfgridError as error:
        unasked.append(f"the account's balance and discount ({error.what})")
    else:
        unasked += [] if tft is not None else ["the account's balance and discount (the chain does not answer)"]
    if rates.balance_tft is None and tft is not None and not grid.play_money:
        rates = replace(rates, balance_tft=tft)
    return rates, tft, unasked


def _asked_nodes(grid: Grid, ids: set[int]) -> tuple[dict[int, Node], int, list[str]]:
    """(nodes by id, the account's twin or 0, what could not be asked)."""
    try:
        nodes = {node.id: node for node in grid.these_nodes(ids)}
        rented = any(node.rented_by for node in nodes.values())
        return nodes, (grid.account().twin or 0) if rented else 0, []
    except TfgridError as error:
        which = f"node {', '.join(str(id) for id in sorted(ids))}" if any(ids) else "the node"
        said = f"whether {which} is certified, which costs a quarter more ({error.what})"
        return {}, 0, [said]


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
    nodes, twin, more = _asked_nodes(context.grid, {id for ids in context.nodes.values() for id in ids})
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


# Balance


def check_first_hour(price: DeploymentPrice) -> None:
    """Raise `GridError` with code `balance-too-low` when the balance can't even pay the first hour; play money never ends."""
    hour = price.tft_per_hour
    if hour is None or price.balance_tft is None or price.balance_tft >= hour or price.play_money:
        return
    raise GridError(
        f"the account has {price.balance_tft:.2f} TFT, and the first hour costs {hour:.2f}",
        why="the grid pauses what can't be paid, and cancels it after 14 days",
        fix="send TFT to the account, or choose a smaller --size",
        code="balance-too-low",
    )
