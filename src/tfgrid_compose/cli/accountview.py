"""Accounts as `signin`, `signin --check` and `whoami` show them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tfgrid_compose.grids.account import Signed
    from tfgrid_compose.grids.standing import Standing
    from tfgrid_compose.state.store import Store


def standings(signed: Sequence[Signed]) -> list[tuple[Signed, Standing]]:
    """Look all of them up at once."""
    from concurrent.futures import ThreadPoolExecutor

    from tfgrid_compose.grids import networks
    from tfgrid_compose.grids.standing import standing
    from tfgrid_compose.state import settings

    def look(item: Signed, network: networks.Network) -> Standing:
        return standing(item, network.chain, network.dashboard, network.kyc)

    config = settings.load()
    urls = {item.network: networks.network(item.network, config) for item in signed}
    with ThreadPoolExecutor(max_workers=max(1, len(signed))) as pool:
        found = pool.map(lambda item: look(item, urls[item.network]), signed)
        return list(zip(signed, found, strict=True))


def show(rows: Sequence[tuple[Signed, Standing]], as_json: bool) -> None:
    """A table, or JSON; then what is missing, and what could not be looked up."""
    if as_json:
        click.echo(json.dumps([facts(*row) for row in rows]))
    elif rows:
        from tfgrid_compose.cli.render import table

        click.echo(table(["NETWORK", "ADDRESS", "KEYS", "TWIN", "TFT", "FROM"], [_cells(*row) for row in rows]))
    for signed, found in rows:
        if found.unknown:
            click.echo(f"Balance and twin on network {signed.network} could not be looked up: {found.unknown}.", err=True)
        for text in found.lacks:
            click.echo(click.style("Warning: ", fg="yellow") + text, err=True)
        if signed.advice:
            click.echo(signed.advice, err=True)


def facts(signed: Signed, found: Standing) -> dict[str, Any]:
    """One account for JSON."""
    return {
        "network": signed.network, "address": signed.address, "key_type": signed.key_type, "twin": found.account.twin,
        "tft": found.account.tft, "from": signed.origin, "looked_up": not found.unknown, "lacks": list(found.lacks),
        "why_unknown": found.unknown,
    }  # fmt: skip


def _cells(signed: Signed, found: Standing) -> list[str]:
    who = found.account
    twin = "unknown" if found.unknown else str(who.twin or "none")
    tft = "unknown" if who.tft is None else f"{who.tft:.2f}"
    return [signed.network, signed.address, signed.key_type, twin, tft, signed.origin]


def stranded(store: Store, now: Mapping[str, str], forgotten: Collection[str], how: str) -> str:
    """What can't be changed or destroyed once accounts are as in `now` ({network: address}), as an end of a question.

    Where it is not known who pays for a deployment, it was the account that is `forgotten` on its network. `how` ends the
    sentence; empty when there is no such deployment.
    """
    from tfgrid_compose.deploy.payer import payer_of

    def lost(network: str, payer: str) -> bool:
        return network in now and (payer != now[network] if payer else network in forgotten)

    names = [item.name for item in store.deployments() if lost(item.network, payer_of(item))]
    ending = f"can't be changed or destroyed {how}, and {'goes' if len(names) == 1 else 'go'} on to cost."
    return f" {', '.join(names)} {ending}" if names else ""


def tell(text: str) -> None:
    """Say what a question would have said, where nobody was asked."""
    if text:
        click.echo(click.style("Warning:", fg="yellow") + text, err=True)
