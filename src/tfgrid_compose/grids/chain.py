"""The chain of a network: balances, twins, contracts, the price of a TFT; and cancelling contracts.

Asked with substrate-interface over WebSockets. Pallets, storage and units are in the facts under "Contracts lifecycle" and
"Chain connection"; `AverageTftPrice` is in thousandths of a USD (tfchain, pallet-tft-price). The library is imported when
the first question is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from tfgrid_compose.errors import GridError
from tfgrid_compose.observe.redact import PROCESS

UNITS_PER_TFT = 10_000_000
# Blocks come every 6 seconds; a server whose newest one is older than this is out of step.
_BEHIND = 60.0
# After so many seconds no other server is asked: a computer that reaches none must not wait for each of them.
_SEARCH = 25.0
_PREFIX = 42
_PAGE = 100
_KINDS = {"NodeContract": "node", "NameContract": "name", "RentContract": "rent"}
T = TypeVar("T")


@dataclass(frozen=True)
class ChainContract:
    """A contract as the chain has it.

    `kind` is `node`, `name` or `rent`; `state` is `Created`, `GracePeriod` or `Deleted`. `node` is None and `data` empty
    where the kind has none; `data` is what the client wrote into a node contract, usually JSON.
    """

    id: int
    twin: int
    kind: str
    state: str
    node: int | None = None
    name: str = ""
    data: str = ""
    public_ips: int = 0

    @property
    def live(self) -> bool:
        """Whether it still costs something."""
        return self.state != "Deleted"


class Chain:
    """One network's chain, asked at the first of its servers that answers.

    `timeout` is how long a server may be silent, in seconds; `inclusion` how long a transaction may take to get into a
    block. All methods raise `GridError`: `chain-unreachable`, `chain-slow`, `chain-answer`, `chain-behind`, `chain-refused`.
    """

    def __init__(
        self, urls: Sequence[str], *, network: str = "", timeout: float = 10.0, inclusion: float = 60.0,
        now: Callable[[], float] = time.time, pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._urls = list(urls)
        self.label = f"the chain of network {network}" if network else "the chain"
        self.network = network
        self.timeout, self.inclusion = timeout, inclusion
        self.now, self.pause, self._clock = now, pause, clock
        self._api: Any = None

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the next question makes another one."""
        if self._api is not None:
            with suppress(Exception):  # A connection that is broken can't be closed politely.
                self._api.close()
            self._api = None

    # Questions

    def free_tft(self, address: str) -> float:
        """The free balance in TFT, 0 for an account that the chain does not know; locked TFT are a part of it."""
        found = self._value("System", "Account", address)
        return float(found["data"]["free"]) / UNITS_PER_TFT

    def twin_of(self, address: str) -> int | None:
        """The id of the account's twin, None when it has none."""
        return self._value("TfgridModule", "TwinIdByAccountID", address) or None

    def name_contract(self, name: str) -> int | None:
        """The contract that has reserved a gateway's name, whoever's it is."""
        return self._value("SmartContractModule", "ContractIDByNameRegistration", name) or None

    def usd_per_tft(self) -> float:
        """The average price of a TFT that contracts are billed with."""

        def question(api: Any) -> float:
            price = api.query("TFTPriceModule", "AverageTftPrice").value
            if not price:
                raise ValueError("there is no price")
            return float(price) / 1000

        return self.ask(question)

    def contract(self, id: int) -> ChainContract | None:
        """One contract, None when there is none any more."""
        return self.contracts([id]).get(id)

    def contracts(self, ids: Iterable[int]) -> dict[int, ChainContract]:
        """Those of the contracts that are still on the chain, by id."""
        wanted = sorted(set(ids))
        pages = [wanted[at : at + _PAGE] for at in range(0, len(wanted), _PAGE)]
        return {item.id: item for page in pages for item in self.ask(partial(_contracts, ids=page))}

    def _value(self, pallet: str, item: str, key: Any) -> Any:
        return self.ask(lambda api: api.query(pallet, item, [key]).value)

    # Connections

    def ask(self, question: Callable[[Any], T]) -> T:
        """What a question to a connected substrate-interface gives; the next server is asked when one fails, for so long."""
        failures: list[GridError] = []
        begun = self._clock()
        for url in list(self._urls):
            if failures and self._clock() - begun > _SEARCH:
                break
            try:
                with self.explained(url):
                    found = question(self._connected(url))
            except GridError as error:
                self.close()
                failures.append(error)
                continue
            except BaseException:
                self.close()  # An answer that was cut off would be taken for the next one.
                raise
            self._prefer(url)
            return found
        raise self._none_left(failures)

    def _prefer(self, url: str) -> None:
        if self._urls[0] != url:
            self._urls = [url, *(item for item in self._urls if item != url)]

    def _connected(self, url: str) -> Any:
        if self._api is None:
            self._api = self._connect(url)
            self._check_clock(self._api)
        return self._api

    def _connect(self, url: str) -> Any:
        if not url.startswith(("wss://", "ws://")):
            raise GridError(
                f"{self.label} can't be asked at {url}", why="the URL of a chain begins with wss:// or ws://",
                fix="tfgrid-compose config show", code="chain-unreachable",
            )  # fmt: skip
        from substrateinterface import SubstrateInterface  # type: ignore[import-untyped]

        return SubstrateInterface(
            url, ss58_format=_PREFIX, use_remote_preset=False, auto_discover=False, auto_reconnect=False,
            ws_options={"timeout": self.timeout, "enable_multithread": False},
        )  # fmt: skip

    def _check_clock(self, api: Any) -> None:
        block = float(api.query("Timestamp", "Now").value) / 1000
        late = self.now() - block
        if abs(late) > _BEHIND:
            stamp = _stamp(block)
            raise GridError(
                f"{self.label} and this computer don't have the same time",
                why=f"the newest block is of {stamp}, {abs(late) / 60:.0f} min {'ago' if late > 0 else 'ahead'}",
                fix="look at the clock of this computer: timedatectl; if it is right, try again later",
                code="chain-behind",
            )

    @contextmanager
    def explained(self, url: str = "") -> Iterator[None]:
        """Turn what the library raises into a `GridError`; nothing of it that could be secret gets through."""
        from substrateinterface.exceptions import SubstrateRequestException  # type: ignore[import-untyped]
        from websocket import WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

        at = f" at {url}" if url else ""
        try:
            yield
        except GridError:
            raise
        except (WebSocketTimeoutException, TimeoutError) as error:
            raise GridError(
                f"{self.label} does not answer in time{at}", why=f"nothing came for {self.timeout:g} s",
                fix="run the command again; `tfgrid-compose config show` names the servers that are asked", code="chain-slow",
            ) from error  # fmt: skip
        except WebSocketBadStatusException as error:
            raise self._unreachable(at, f"it answered with HTTP status {error.status_code}") from error
        except (WebSocketException, OSError) as error:
            raise self._unreachable(at, _said(error)) from error
        except SubstrateRequestException as error:
            raise self.refused(_refusal(error)) from error
        except Exception as error:
            # The library fails in as many ways as there are wrong answers, and its words may hold what it was given.
            raise GridError(
                f"the answer of {self.label} can't be understood{at}", why=f"reading it ended with {type(error).__name__}",
                fix="run the command again; if that does not help, name another server under `networks` in the configuration",
                code="chain-answer",
            ) from None  # fmt: skip

    def refused(self, reason: str) -> GridError:
        """The error for what the chain does not do, with its reason and what helps where the reason is known."""
        from tfgrid_compose.observe.diagnosis import explained

        error = GridError(
            f"{self.label} refused", why=reason, fix="run the command again", code="chain-refused",
        )  # fmt: skip
        found = explained(error)
        assert isinstance(found, GridError)
        return found

    def _unreachable(self, at: str, why: str) -> GridError:
        return GridError(
            f"{self.label} can't be reached{at}", why=why,
            fix="check that this computer can open wss:// connections on port 443, then run the command again",
            code="chain-unreachable",
        )  # fmt: skip

    def _none_left(self, failures: list[GridError]) -> GridError:
        if not failures:
            return self._unreachable("", "no server of it is known")
        if len(failures) == 1:
            return failures[0]
        last = failures[-1]
        last.details = [f"{error.what}: {error.why}" for error in failures]
        return last


def _contracts(api: Any, ids: list[int]) -> list[ChainContract]:
    keys = [api.create_storage_key("SmartContractModule", "Contracts", [id]) for id in ids]
    found = [item.value for _, item in api.query_multi(keys) if item is not None]
    return [_contract(value) for value in found if value is not None]


def _contract(value: dict[str, Any]) -> ChainContract:
    """A contract from how the library decodes it: choices are a word, or a word with what belongs to it."""
    ((word, facts),) = value["contract_type"].items()
    state = value["state"]
    return ChainContract(
        id=value["contract_id"], twin=value["twin_id"], kind=_KINDS[word],
        state=state if isinstance(state, str) else next(iter(state)),
        node=facts.get("node_id"), name=_text(facts.get("name")), data=_text(facts.get("deployment_data")),
        public_ips=facts.get("public_ips", 0),
    )  # fmt: skip


def _text(value: Any) -> str:
    """Bytes as the library decodes them; a type that wraps them may come as a tuple of one."""
    return _text(value[0]) if isinstance(value, (tuple, list)) and value else str(value or "")


def _said(error: Exception) -> str:
    words = PROCESS.text(" ".join(str(getattr(error, "strerror", None) or error).split()))[:200]
    return words[:1].lower() + words[1:] if words else type(error).__name__


def _refusal(error: Exception) -> str:
    """The words of a JSON-RPC error."""
    found = error.args[0] if error.args else ""
    if isinstance(found, dict):
        parts = [f"{found.get('code', '')}: {found.get('message', '')}".strip(": "), str(found.get("data") or "")]
        found = "; ".join(part for part in parts if part)
    return PROCESS.text(" ".join(str(found).split()))[:300] or "it gave no reason"


def _stamp(block: float) -> str:
    """The time of a block for people; a chain may say any number."""
    try:
        return datetime.fromtimestamp(block, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "a time that no calendar has"
