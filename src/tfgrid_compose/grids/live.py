"""The ThreeFold Grid itself: its directory (gridproxy) says what there is, its chain says what is true.

The directory lags behind the chain by seconds to minutes. A contract that matters is therefore asked for on the chain
by its id, and a call that fails is an error, never an empty list. Facts: grid-contracts.md, sections 1.2, 1.3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from tfgrid_compose.errors import GridError, StateError
from tfgrid_compose.grids import networks, wire
from tfgrid_compose.grids.base import Progress
from tfgrid_compose.grids.marks import deployment_of
from tfgrid_compose.grids.models import Account, ContractInfo, Marked, Node, with_apps
from tfgrid_compose.state import settings
from tfgrid_compose.words import named

if TYPE_CHECKING:
    from tfgrid_compose.grids.account import Signed
    from tfgrid_compose.grids.chain import Chain, ChainContract
    from tfgrid_compose.grids.client import Client
    from tfgrid_compose.grids.pricing import Rates

T = TypeVar("T")
# So many of a node's newest contracts are looked through for one that the directory does not know yet.
_NEWEST = 12


class LiveGrid:
    """One of main, test, qa and dev."""

    needs_root = False
    adopts = False
    can_snapshot = False
    global_addresses = True
    play_money = False
    attaches_provider = False

    def __init__(self, network: str) -> None:
        self.name = network
        self._known_twin = 0

    # Whom to ask

    @cached_property
    def urls(self) -> networks.Network:
        """Where this network's services are, as the configuration says."""
        return networks.network(self.name, settings.load())

    def client(self) -> Client:
        """The client of this network's gridproxy."""
        from tfgrid_compose.grids.client import Client

        return Client(self.urls)

    def _ask(self, make: Callable[[Client], Any]) -> Any:
        from tfgrid_compose.grids.client import ask

        return ask(make, self.client())

    def _chain(self) -> Chain:
        from tfgrid_compose.grids.chain import Chain

        return Chain(self.urls.chain, network=self.name)

    @cached_property
    def _signed(self) -> Signed:
        from tfgrid_compose.grids.account import signed_in

        return signed_in(self.name)

    # Who pays

    def account(self) -> Account:
        """Who pays here; twin and balance are None when the chain can't be asked. Raises `GridError` when nobody is signed in."""
        signed = self._signed
        try:
            with self._chain() as chain:
                twin, tft = chain.twin_of(signed.address), chain.free_tft(signed.address)
        except GridError:
            twin = tft = None
        return Account(self.name, signed.address, signed.key_type, twin, tft)

    def payer(self) -> str:
        """The address of the signed-in account. Raises `GridError` when nobody is."""
        return self._signed.address

    def _twin(self, chain: Chain) -> int:
        """The account's twin, which never changes. Raises `GridError` when it has none, or the chain does not say."""
        if not self._known_twin:
            found = chain.twin_of(self._signed.address)
            if found is None:
                raise self._no_twin(self._signed.address)
            self._known_twin = found
        return self._known_twin

    def _no_twin(self, address: str) -> GridError:
        where = self.urls.dashboard or f"the dashboard of network {self.name}"
        return GridError(
            f"the account has no twin on network {self.name}",
            why=f"{address} was never activated there, or has not accepted the grid's terms; networks share no accounts",
            fix=f"log in on {where} with this account once, or choose another network with --network",
            code="account-without-twin",
        )

    def prepare(self, progress: Progress) -> None:
        """Look whether something can be bought: an account that may, a chain and a directory that answer.

        Raises `GridError` for the first that is missing; nothing is bought then.
        """
        if self._signed.advice:
            progress(self._signed.advice)
        if self._may_buy() is None:
            progress(f"nobody says whether the account is verified on network {self.name}; the grid takes no others")
        self._ask(lambda client: client.ping())

    def may_buy(self) -> None:
        """Look whether the account has a twin, 2 TFT and a verified identity. Raises `GridError`."""
        self._may_buy()

    def _may_buy(self) -> bool | None:
        """None when nobody says whether the account is verified."""
        from tfgrid_compose.grids.standing import LEAST_TFT

        address = self._signed.address
        self._check_urls()
        with self._chain() as chain:
            twin = self._twin(chain)
            tft = chain.free_tft(address)
        if tft < LEAST_TFT:
            raise GridError(
                f"the account has too few TFT on network {self.name}",
                why=f"{tft:.2f} TFT are free, and the grid wants {LEAST_TFT:g} before it makes or changes anything",
                fix=f"send TFT to {address} on network {self.name}, then run the command again",
                code="balance-too-low",
            )
        return self._verified(twin)

    def _verified(self, twin: int) -> bool | None:
        from tfgrid_compose.grids.verification import verified

        if not self.urls.kyc:
            return True
        said = verified(self.urls.kyc, twin)
        if said is False:
            raise GridError(
                f"the account is not verified on network {self.name}",
                why=f"the identity behind twin {twin} is not known, and nodes take no deployments of such accounts",
                fix=f"verify it on {self.urls.dashboard or 'the dashboard'}, then run the command again",
                code="account-not-verified",
            )
        return said

    def _check_urls(self) -> None:
        """Raise `GridError` for a URL of the configuration that the provider would refuse in the middle of a run."""
        for key, url in self._given_urls():
            if not settings.taken_by_provider(url):
                raise GridError(
                    f"the grid's provider can't be given {url}",
                    why=f"networks.{self.name}.{key} of the configuration says so; nodes and contracts can be looked at there, "
                    "but the provider takes only https:// and wss://",
                    fix=f"tfgrid-compose config unset networks.{self.name}.{key}",
                    code="provider-url",
                )

    def _given_urls(self) -> list[tuple[str, str]]:
        """(key, URL) of the configuration's own URLs that the provider gets: the first of each service."""
        own = next((urls for name, urls in settings.load().networks.items() if name == self.name), None)
        kinds = {"gridproxy": own.gridproxy, "chain": own.chain, "relay": own.relay} if own else {}
        return [(key, urls[0]) for key, urls in kinds.items() if urls]

    def rates(self) -> Rates:
        """What a TFT costs, 0 when the chain can't be asked."""
        from tfgrid_compose.grids.pricing import Rates

        try:
            with self._chain() as chain:
                return Rates(chain.usd_per_tft())
        except GridError:
            return Rates(0.0)

    # Nodes

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """All nodes that are up and answer. Raises `GridError` when they are not known as they are now.

        The directory knows which can give IPv6, and says it only as a filter.
        """
        if ipv6:
            able = {node.id for node in self._usable(has_ipv6=True)}
            return [replace(node, has_ipv6=node.id in able) for node in self._usable()]
        return self._usable()

    def _usable(self, has_ipv6: bool | None = None) -> list[Node]:
        answer = self._ask(lambda client: client.nodes(status="up", healthy=True, has_ipv6=has_ipv6))
        if answer.stale:
            raise GridError(
                f"nodes of network {self.name} are not known as they are now",
                why="the node directory does not answer, and what it said earlier is too old to buy by",
                fix="run the command again later, or `tfgrid-compose nodes` to see what it said earlier",
                code="nodes-stale",
            )
        return list(answer.value)

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Single nodes, whatever their status; what the directory said a few minutes ago will do."""

        async def questions(client: Client) -> list[Node]:
            return [(await client.node(id)).value for id in sorted(ids)]

        found: list[Node] = self._ask(questions)
        return found

    @contextmanager
    def terraform(self, progress: Progress, *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """The account and other URLs of the configuration, by environment only."""
        signed = self._signed
        names = {"gridproxy": "PROXY_URL", "chain": "SUBSTRATE_URL", "relay": "RELAY_URL"}
        yield {
            "TF_VAR_mnemonic": signed.secret.reveal(), "TF_VAR_tfgrid_network": self.name, "KEY_TYPE": signed.key_type,
            **{names[key]: url for key, url in self._given_urls()},
        }  # fmt: skip

    # Contracts

    def all_contracts(self) -> list[ContractInfo]:
        """Every contract of the account that the directory lists or we remember, and that the chain knows alive."""
        return self._live({id for ids, _ in self._remembered().values() for id in ids})

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Live contracts of one deployment; also those that were made too lately for the directory to know."""
        ids, nodes = self._remembered().get(deployment, ((), ()))
        found = [item for item in self._live(set(ids), nodes) if item.deployment == deployment or item.id in ids]
        self._look_for_others(set(ids) - {item.id for item in found})
        return found

    def _look_for_others(self, missing: Collection[int]) -> None:
        """Contracts that live on and belong to another account are not gone. Raises `GridError`."""
        others = self._living(sorted(missing)) if missing else []
        if others:
            raise GridError(
                f"{named('contract', others)} on network {self.name} belong{'s' if len(others) == 1 else ''} to another account",
                why=f"{self._signed.address} is signed in, and only who made a contract can change or cancel it",
                fix=f"sign in with the account that made it: tfgrid-compose signin --network {self.name}",
                code="account-changed",
            )

    def marked(self) -> list[Marked]:
        """Everything of the account that carries our mark, of whatever deployment."""
        return [Marked(item.deployment, item, item.app) for item in self.all_contracts() if item.deployment]

    def _live(self, remembered: set[int], nodes: Iterable[int] = ()) -> list[ContractInfo]:
        """What the directory lists, what is remembered, and what is newest on `nodes`: those that the chain knows alive."""
        with self._chain() as chain:
            twin = self._twin(chain)
            listed = self._ask(lambda client: client.contracts(twin=twin)).value
            newest = {id for node in nodes for id in sorted(_active_on(chain, node))[-_NEWEST:]}
            said = chain.contracts({item.id for item in listed} | remembered | newest)
        known = {item.id: item for item in listed}
        live = [item for item in said.values() if item.live and item.twin == twin]
        return with_apps(sorted((_agreed(known.get(item.id), item) for item in live), key=lambda item: item.id))

    def _remembered(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """{deployment: (contracts, nodes)} as the state knows them here; a damaged state must not hide what the grid says."""
        from tfgrid_compose.state.store import Store

        with suppress(StateError), Store() as store:
            return {
                item.id: (
                    tuple(int(id) for id in item.data.get("contracts", [])),
                    tuple({int(node) for chosen in item.data.get("planned_nodes", {}).values() for node in chosen}),
                )
                for item in store.deployments()
                if item.network == self.name
            }
        return {}

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether the chain knows all these contracts alive."""
        return not contracts or len(self._living(contracts)) == len(set(contracts))

    def _living(self, contracts: Sequence[int]) -> list[int]:
        with self._chain() as chain:
            return sorted(item.id for item in chain.contracts(contracts).values() if item.live)

    def cancel(self, contracts: Sequence[int]) -> None:
        """Cancel contracts on the chain, all in one call; those that are gone are no error."""
        if contracts:
            from tfgrid_compose.grids.cancelling import cancel

            signed = self._signed
            with self._chain() as chain:
                cancel(chain, contracts, signed)

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """Contracts that the chain still knows alive."""
        return [f"contract {id}" for id in self._living(contracts)] if contracts else []

    # Snapshots

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def _no_snapshots(self) -> GridError:
        return GridError(
            f"network {self.name} has no snapshots of machines",
            why="nodes of the ThreeFold Grid don't copy a machine's disks",
            fix="let the app keep backups of its data, or use --network local",
            code="snapshot-unsupported",
        )


def _active_on(chain: Chain, node: int) -> list[int]:
    """Node contracts of everybody on a node; the directory learns of new ones only after a while."""
    return list(chain.ask(lambda api: api.query("SmartContractModule", "ActiveNodeContracts", [node]).value) or ())


def _agreed(listed: ContractInfo | None, said: ChainContract) -> ContractInfo:
    """A contract as the directory lists it, in the state that the chain knows; what only the chain has, in the same form."""
    if listed is None:
        listed = wire.contract(_as_listed(said))
    return replace(listed, state=said.state, deployment=listed.deployment or deployment_of(listed.name))


def _as_listed(said: ChainContract) -> dict[str, Any]:
    """A contract of the chain in gridproxy's words; when it was made stands in none of its fields."""
    details = {
        "nodeId": said.node or 0, "deployment_data": said.data, "number_of_public_ips": said.public_ips, "name": said.name,
    }  # fmt: skip
    return {
        "contract_id": said.id, "twin_id": said.twin, "state": said.state, "created_at": 0, "type": said.kind, "details": details,
    }  # fmt: skip
