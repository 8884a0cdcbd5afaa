"""`cost`: what deployments cost, what was paid, how long the balance lasts; and prices as the plan shows them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tfgrid_compose.cli.common import age
from tfgrid_compose.grids.networks import NETWORKS
from tfgrid_compose.grids.pricing import HOURS_PER_MONTH, half_up

if TYPE_CHECKING:
    from tfgrid_compose.deploy.price import DeploymentPrice
    from tfgrid_compose.deploy.spending import Purse, Spending


def figure(value: float, digits: int) -> str:
    """A sum with so many digits. Half is rounded up, so that a price is the same in all commands, however it was summed up."""
    return f"{half_up(value, digits):.{digits}f}"


def money(dollars: float | None, tft: float | None, digits: int = 2, per: str = "") -> str:
    """`3.78 USD a month (63.00 TFT)`, with what is known of it."""
    known = [] if dollars is None else [f"{figure(dollars, digits)} USD{per}"]
    if tft is not None:
        known.append(f"({figure(tft, digits)} TFT)" if known else f"{figure(tft, digits)} TFT{per}")
    return " ".join(known) or "unknown"


def price_lines(price: DeploymentPrice) -> list[str]:
    """A price for people: the whole, each machine, the balance."""
    from tfgrid_compose.deploy.price import levels_text

    month, hour = price.usd_per_month, price.usd_per_hour
    if any(level.discount for level in price.levels):
        off = f"{levels_text(price.levels)}, {price.list_usd_per_hour * HOURS_PER_MONTH:.2f} USD without it"
    else:
        off = "in play money" if price.play_money else "before discounts" if price.balance_tft is None else "no discount"
    monthly, hourly = money(month, price.rates.tft(month), 2, " a month"), money(hour, price.tft_per_hour, 4, " an hour")
    lines = [f"Price: {monthly}, {hourly}, {off}"]
    lines += [f"  {item.text}" for item in price.machines]
    if price.balance_tft is not None:
        lines.append(f"Balance: {price.balance_tft:.2f} TFT")
    return lines


@click.command(epilog="Example:  tfgrid-compose cost      tfgrid-compose cost my-app --json | jq .networks[0].balance_days")
@click.argument("app", required=False)
@click.option("--network", type=click.Choice(NETWORKS), help="Only this network; every network with deployments by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost(app: str | None, network: str | None, as_json: bool) -> None:
    """Show what deployments cost by the hour and month, what was paid so far, and how long the balance lasts.

    Other contracts of the account are one line. Sums are after discounts, at what a TFT costs now. Where bills can be
    had, what was paid is their sum; else hours times price.

    Exit codes: 0 shown, 5 no such deployment, 7 something could not be asked (and what).
    """
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.resolve import default_network
    from tfgrid_compose.deploy.spending import purse
    from tfgrid_compose.grids.registry import open_grid
    from tfgrid_compose.state.store import Store

    with Store() as store:
        one = find(store, app) if app else None
        known = store.deployments()
    networks = [one.network] if one else [network] if network else sorted({item.network for item in known}) or [default_network()]
    grids = [open_grid(name) for name in networks]
    if any(grid.needs_root for grid in grids):
        ensure_root("looking at the local grid")
    found = [purse(grid, [item for item in known if item.network == name]) for name, grid in zip(networks, grids, strict=True)]
    only = one.id if one else ""
    if as_json:
        click.echo(json.dumps({"networks": [item.to_dict(only) for item in found]}))
    else:
        _show(found, only)
    sys.exit(7 if any(item.unasked for item in found) else 0)


def _show(purses: list[Purse], only: str) -> None:
    from tfgrid_compose.cli.render import table

    rows = [_row(item) for purse in purses for item in purse.spendings if only in ("", item.deployment)]
    if rows:
        if len(rows) > 1:
            rows += [_total(purse) for purse in purses if len(purse.spendings) > 1]
        click.echo(table(["NAME", "NETWORK", "USD/HOUR", "TFT/HOUR", "USD/MONTH", "TFT/MONTH", "SINCE", "SPENT"], rows))
    else:
        for purse in purses:
            click.echo(
                f"{'Nothing' if purse.listed else 'Nothing that is known here'} runs on network {purse.network}.", err=True
            )
    for purse in purses:
        for line in _account_lines(purse):
            click.echo(line)
        for text in purse.unasked:
            click.echo(click.style(f"Network {purse.network} could not be asked for: ", fg="yellow") + text, err=True)


def _figures(dollars: float | None, tft: float | None) -> list[str]:
    hour = ["-" if value is None else figure(value, 4) for value in (dollars, tft)]
    return [*hour, *("-" if value is None else figure(value * HOURS_PER_MONTH, 2) for value in (dollars, tft))]


def _row(item: Spending) -> list[str]:
    from tfgrid_compose.deploy import spending
    from tfgrid_compose.words import count

    name = item.name or count(len(item.costs), "other contract")
    if item.remembered:
        name += " (as of its last run)"
    elif item.unknown:
        name += f" ({item.unknown} without a price)"
    since = age(spending.now() - item.since) if item.since else "-"
    spent = "-" if item.spent_usd is None and item.spent_tft is None else money(item.spent_usd, item.spent_tft)
    return [name, item.network, *_figures(item.usd_per_hour, item.tft_per_hour), since, spent]


def _total(purse: Purse) -> list[str]:
    months = ["-" if value is None else figure(value, 2) for value in (purse.usd_per_month, purse.tft_per_month)]
    hours = _figures(purse.usd_per_hour, purse.tft_per_hour)[:2]
    return ["all", purse.network, *hours, *months, "", money(purse.spent_usd, purse.spent_tft)]


def _account_lines(purse: Purse) -> list[str]:
    """Balance and discount of an account, for people."""
    from tfgrid_compose.deploy.price import levels_text
    from tfgrid_compose.deploy.spending import short_balance
    from tfgrid_compose.state import settings

    where = f"Network {purse.network}: "
    lines = [f"{where}play money; nothing is really paid"] if purse.play_money else []
    if purse.tft is not None:
        lasts = f", lasts {purse.days:.1f} days" if purse.days is not None else ""
        lines.append(f"{where}balance {purse.tft:.2f} TFT{lasts}")
    if purse.dearest and purse.rates.balance_tft is not None:
        coming = purse.next_level
        more = f"; {coming[0].name} ({coming[0].discount:.0%}) needs {coming[1]:.2f} TFT more" if coming else ""
        lines.append(f"{where}{levels_text((purse.dearest.level,))}{more}")
    short = short_balance(purse.days, settings.load().balance_days, purse.tft)
    return [*lines, *([click.style("Warning: ", fg="yellow") + short] if short else [])]
