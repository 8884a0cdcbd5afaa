"""The chain: what is asked of it, what is cancelled on it, and every way in which it fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.chain import FEE, TFT, FakeChain
from tfgrid_compose.errors import GridError, InterruptedError_
from tfgrid_compose.grids.account import Signed
from tfgrid_compose.grids.cancelling import cancel
from tfgrid_compose.grids.chain import Chain, ChainContract
from tfgrid_compose.observe.redact import Secret

# The development phrase of Substrate, which everybody knows.
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"


class Clock:
    """A time that only passes while somebody waits."""

    def __init__(self) -> None:
        import time

        self.start = time.time()
        self.waited: list[float] = []

    def now(self) -> float:
        return self.start + sum(self.waited)

    def pause(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.fixture
def fake() -> Iterator[FakeChain]:
    with FakeChain() as chain:
        yield chain


@pytest.fixture
def signed() -> Signed:
    return Signed("main", "sr25519", Secret(PHRASE))


@pytest.fixture
def me(fake: FakeChain, signed: Signed) -> str:
    fake.fund(signed.address, tft=100)
    fake.add_twin(7, signed.address)
    return signed.address


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chain(fake: FakeChain, clock: Clock) -> Iterator[Chain]:
    with Chain([fake.url], network="main", timeout=2.0, inclusion=1.0, now=clock.now, pause=clock.pause) as found:
        yield found


def failing(call: Any) -> GridError:
    with pytest.raises(GridError) as caught:
        call()
    error = caught.value
    assert error.what and error.why and error.fix
    assert PHRASE not in str(error.to_dict())
    return error


# Questions


def test_balance_twin_and_price(chain: Chain, fake: FakeChain, me: str) -> None:
    fake.fund(me, tft=12.5, locked=3)
    assert chain.free_tft(me) == 12.5
    assert chain.twin_of(me) == 7
    assert chain.usd_per_tft() == 0.02


def test_an_account_that_the_chain_does_not_know(chain: Chain) -> None:
    address = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"
    assert chain.free_tft(address) == 0
    assert chain.twin_of(address) is None


def test_contracts_of_every_kind_and_state(chain: Chain, fake: FakeChain) -> None:
    fake.add_contract(11, 7, node=3, data='{"type":"vm"}', public_ips=1)
    fake.add_contract(12, 7, name="my-app")
    fake.add_contract(13, 8, node=4, rent=True, state="GracePeriod")
    fake.add_contract(14, 8, node=4, state="Deleted")
    assert chain.contract(11) == ChainContract(11, 7, "node", "Created", 3, data='{"type":"vm"}', public_ips=1)
    assert chain.contract(12) == ChainContract(12, 7, "name", "Created", name="my-app")
    assert chain.contract(13) == ChainContract(13, 8, "rent", "GracePeriod", 4)
    assert chain.contract(15) is None
    found = chain.contracts([14, 13, 15])
    assert sorted(found) == [13, 14]
    assert found[13].live and not found[14].live


def test_a_reserved_name(chain: Chain, fake: FakeChain) -> None:
    fake.add_contract(12, 7, name="my-app")
    assert chain.name_contract("my-app") == 12
    assert chain.name_contract("other") is None


def test_many_contracts_are_asked_for_in_pages(chain: Chain, fake: FakeChain) -> None:
    for id in range(1, 251):
        fake.add_contract(id, 7, node=1)
    assert len(chain.contracts(range(1, 300))) == 250
    assert fake.asked.count("state_queryStorageAt") == 3


def test_no_price_is_no_price_of_zero(chain: Chain, fake: FakeChain) -> None:
    fake.musd_per_tft = 0
    assert failing(chain.usd_per_tft).code == "chain-answer"


# Cancelling


def test_one_contract_is_cancelled_and_paid_for(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    assert cancel(chain, [11], signed) == [11]
    assert fake.contracts == {}
    assert fake.free_tft(me) == 100 - FEE / TFT


def test_a_rented_node_is_cancelled_after_what_stands_on_it(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3, rent=True)
    fake.add_contract(12, 7, node=3)
    assert cancel(chain, [11, 12], signed) == [12, 11]
    assert fake.contracts == {}


def test_an_ed25519_account_can_cancel(chain: Chain, fake: FakeChain) -> None:
    signed = Signed("main", "ed25519", Secret(PHRASE))
    fake.fund(signed.address, tft=3)
    fake.add_twin(9, signed.address)
    fake.add_contract(11, 9, node=3)
    assert cancel(chain, [11], signed) == [11]


def test_a_seed_can_cancel(chain: Chain, fake: FakeChain) -> None:
    signed = Signed("main", "sr25519", Secret("0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"))
    fake.fund(signed.address, tft=3)
    fake.add_twin(9, signed.address)
    fake.add_contract(11, 9, name="my-app")
    assert cancel(chain, [11], signed) == [11]


def test_many_are_one_transaction(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    for id in (11, 12, 13):
        fake.add_contract(id, 7, node=3)
    assert cancel(chain, [13, 11, 12, 11], signed) == [11, 12, 13]
    assert fake.submitted == [[11, 12, 13]]


def test_very_many_are_several_transactions(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    for id in range(1, 131):
        fake.add_contract(id, 7, node=3)
    assert len(cancel(chain, range(1, 131), signed)) == 130
    assert [len(ids) for ids in fake.submitted] == [100, 30]


def test_what_is_gone_already_is_no_error(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.add_contract(12, 7, node=3, state="Deleted")
    assert cancel(chain, [10, 11, 12], signed) == [11]
    assert cancel(chain, [10, 11, 12], signed) == []
    assert cancel(chain, [], signed) == []
    assert fake.submitted == [[11]]


def test_one_that_goes_meanwhile_does_not_keep_the_others(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    """Between our look and the batch somebody else cancels one: the batch fails as a whole."""
    for id in (11, 12):
        fake.add_contract(id, 7, node=3)
    fake.before_submit = lambda: fake.contracts.pop(12, None)
    assert cancel(chain, [11, 12], signed) == [11]
    assert fake.submitted == [[11, 12], [11]]


def test_one_that_goes_meanwhile_alone(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.before_submit = lambda: fake.contracts.pop(11, None)
    assert cancel(chain, [11], signed) == []


def test_a_contract_of_another_is_named_and_the_others_are_cancelled(
    chain: Chain, fake: FakeChain, me: str, signed: Signed
) -> None:
    for id, twin in ((11, 7), (12, 8), (13, 7)):
        fake.add_contract(id, twin, node=3)
    error = failing(lambda: cancel(chain, [11, 12, 13], signed))
    assert error.code == "chain-refused" and error.cause == "contract-of-another"
    assert "contract 12" in error.what
    assert "cancelled: 11, 13" in error.details and "still there: 12" in error.details
    assert sorted(fake.contracts) == [12]


@pytest.mark.parametrize(
    ("name", "cause"),
    [("TwinNotExists", "twin-missing"), ("NodeHasActiveContracts", "rent-conflict"), ("NameNotValid", "gateway-name-invalid")],
)
def test_errors_of_the_pallet_are_explained(
    chain: Chain, fake: FakeChain, me: str, signed: Signed, name: str, cause: str
) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.refuse = name
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "chain-refused" and error.cause == cause
    assert "contract 11" in error.what and name in str(error.details)


def test_an_account_without_tft(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.fund(me, tft=0.0001)
    fake.add_contract(11, 7, node=3)
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "chain-refused" and error.cause == "fee-unpayable"
    assert "still there: 11" in error.details
    assert 11 in fake.contracts


def test_a_number_that_another_program_took_is_not_the_end(
    chain: Chain, fake: FakeChain, me: str, signed: Signed, clock: Clock
) -> None:
    fake.add_contract(11, 7, node=3)
    lost = {"code": 1014, "message": "Priority is too low", "data": "(1 vs 1)"}
    fake.orders.errors["author_submitAndWatchExtrinsic"] = lost
    pause = chain.pause

    def meanwhile(seconds: float) -> None:
        fake.orders.errors.clear()
        pause(seconds)

    chain.pause = meanwhile
    assert cancel(chain, [11], signed) == [11]
    assert fake.contracts == {} and clock.waited == [3.0]


def test_two_programs_with_one_account(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.errors["author_submitAndWatchExtrinsic"] = {"code": 1014, "message": "Priority is too low", "data": "(1 vs 1)"}
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.cause == "transaction-race" and error.transient


# A transaction that got out of sight


def test_the_connection_breaks_after_it_was_carried_out(
    chain: Chain, fake: FakeChain, me: str, signed: Signed, clock: Clock
) -> None:
    for id in (11, 12):
        fake.add_contract(id, 7, node=3)
    fake.orders.drop = True
    assert cancel(chain, [11, 12], signed) == [11, 12]
    assert clock.waited == []


def test_the_connection_breaks_and_it_is_carried_out_later(
    chain: Chain, fake: FakeChain, me: str, signed: Signed, clock: Clock
) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.drop = fake.orders.lose = True

    def pause(seconds: float) -> None:
        clock.pause(seconds)
        if len(clock.waited) == 2:
            fake.contracts.clear()

    chain.pause = pause
    assert cancel(chain, [11], signed) == [11]
    assert clock.waited == [3.0, 3.0]


def test_it_is_never_carried_out(chain: Chain, fake: FakeChain, me: str, signed: Signed, clock: Clock) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.drop = fake.orders.lose = True
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "cancel-unsure" and "contract 11" in error.what
    assert "contracts list --network main" in error.fix
    assert "still there: 11" in error.details
    assert sum(clock.waited) == 24


def test_the_chain_dies_after_the_hand_over(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.drop = fake.orders.lose = True
    fake.orders.on_lost = lambda: fake.answer_handshake(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "cancel-unsure"
    assert error.details == ["not known to be cancelled: 11"]


def test_no_block_takes_it(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.lose = True
    chain.inclusion = 0.1
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "cancel-unsure" and "does not answer in time" in error.why


@pytest.mark.parametrize("status", ["dropped", "invalid", {"usurped": "0x11"}])
def test_the_chain_says_that_it_is_out(chain: Chain, fake: FakeChain, me: str, signed: Signed, status: Any) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.lose, fake.orders.status = True, status
    error = failing(lambda: cancel(chain, [11], signed))
    assert error.code == "cancel-unsure"
    assert f"it is {status if isinstance(status, str) else 'usurped'}" in error.why


def test_ctrl_c_in_the_midst_tells_what_became_of_each(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    for id in (11, 12):
        fake.add_contract(id, 7, node=3)
    fake.orders.on_submit = lambda: os.kill(os.getpid(), signal.SIGINT)
    fake.orders.silent = set()
    fake.orders.hold = True
    with pytest.raises(InterruptedError_) as caught:
        cancel(chain, [11, 12], signed)
    assert caught.value.details == ["cancelled: 11, 12"]
    assert caught.value.exit_code == 130
    assert "contracts list --network main" in caught.value.fix


def test_ctrl_c_before_it_was_carried_out(chain: Chain, fake: FakeChain, me: str, signed: Signed) -> None:
    fake.add_contract(11, 7, node=3)
    fake.orders.lose = True
    fake.orders.on_lost = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(InterruptedError_) as caught:
        cancel(chain, [11], signed)
    assert caught.value.details == ["still there: 11"]
    assert "may still be carried out" in caught.value.why


# Servers that fail


def test_a_dead_server(clock: Clock) -> None:
    with FakeChain() as gone:
        url = gone.url
    with Chain([url], network="main", timeout=2) as chain:
        error = failing(chain.usd_per_tft)
    assert error.code == "chain-unreachable" and url in error.what and "refused" in error.why


def test_a_host_that_does_not_exist() -> None:
    with Chain(["ws://chain.invalid:1/ws"], timeout=2) as chain:
        assert failing(chain.usd_per_tft).code == "chain-unreachable"


@pytest.mark.parametrize("url", ["https://tfchain.grid.tf", "tfchain.grid.tf/ws", ""])
def test_a_url_that_is_none_of_a_chain(url: str) -> None:
    with Chain([url]) as chain:
        error = failing(chain.usd_per_tft)
    assert error.code == "chain-unreachable" and "wss://" in error.why


def test_no_server_at_all() -> None:
    with Chain([], network="main") as chain:
        assert failing(chain.usd_per_tft).code == "chain-unreachable"


def test_a_slow_server(fake: FakeChain) -> None:
    fake.orders.silent = {"*"}
    with Chain([fake.url], timeout=0.1) as chain:
        error = failing(chain.usd_per_tft)
    assert error.code == "chain-slow" and "0.1 s" in error.why


def test_a_page_of_a_proxy_instead_of_a_handshake(fake: FakeChain, chain: Chain) -> None:
    fake.answer_handshake(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
    error = failing(chain.usd_per_tft)
    assert error.code == "chain-unreachable" and "502" in error.why


@pytest.mark.parametrize(
    "garbage", ["<html>no</html>", "[]", "{}", "null", '{"id": 1', '{"id": 1, "result": "0x12"}', '{"jsonrpc": "2.0", "result": {}}', "7"]
)  # fmt: skip
def test_garbage(fake: FakeChain, garbage: str) -> None:
    fake.orders.garbage = garbage
    with Chain([fake.url], timeout=0.3) as chain:
        assert failing(chain.usd_per_tft).code in ("chain-answer", "chain-slow")


def test_an_old_block(fake: FakeChain, chain: Chain) -> None:
    fake.orders.behind = 600
    error = failing(chain.usd_per_tft)
    assert error.code == "chain-behind" and "10 min ago" in error.why and "timedatectl" in error.fix


def test_a_clock_that_is_slow(fake: FakeChain, chain: Chain) -> None:
    fake.orders.behind = -600
    assert "10 min ahead" in failing(chain.usd_per_tft).why


def test_an_error_of_the_server(fake: FakeChain, chain: Chain) -> None:
    fake.orders.errors["state_getMetadata"] = {"code": -32603, "message": "Internal error"}
    error = failing(chain.usd_per_tft)
    assert error.code == "chain-refused" and "-32603: Internal error" in error.why


@pytest.mark.parametrize("how", ["dead", "slow", "garbage", "behind", "error"])
def test_the_next_server_is_asked(fake: FakeChain, how: str) -> None:
    with FakeChain() as first:
        first.orders.silent = {"*"} if how == "slow" else set()
        first.orders.garbage = "no" if how == "garbage" else ""
        first.orders.behind = 600 if how == "behind" else 0
        if how == "error":
            first.orders.errors["chain_getHead"] = {"code": 1, "message": "no"}
        if how == "dead":
            first.close()
        with Chain([first.url, fake.url], timeout=0.5) as chain:
            assert chain.usd_per_tft() == 0.02
            before = len(first.asked)
            assert chain.usd_per_tft() == 0.02
            assert len(first.asked) == before, "the one that answered is asked first from then on"


def test_whoever_reaches_none_does_not_wait_for_each() -> None:
    times = iter([0.0, 10.0, 26.0])
    urls = [f"ws://127.0.0.1:{port}" for port in (1, 2, 3, 4, 5, 6)]
    with Chain(urls, timeout=1, clock=lambda: next(times)) as chain:
        error = failing(chain.usd_per_tft)
    assert ":2" in f"{error.to_dict()}" and ":3" not in f"{error.to_dict()}"


def test_every_server_that_failed_is_named(fake: FakeChain) -> None:
    fake.orders.behind = 600
    with FakeChain() as gone:
        url = gone.url
    with Chain([url, fake.url], timeout=2) as chain:
        error = failing(chain.usd_per_tft)
    assert len(error.details) == 2 and url in error.details[0]


def test_a_connection_that_breaks_between_two_questions(fake: FakeChain, chain: Chain, me: str) -> None:
    with FakeChain() as second:
        second.musd_per_tft = 30
        with Chain([fake.url, second.url], timeout=2) as two:
            assert two.usd_per_tft() == 0.02
            fake.close()
            assert two.usd_per_tft() == 0.03


# Secrets


def test_the_mnemonic_is_in_no_text(signed: Signed) -> None:
    assert PHRASE not in repr(signed) and PHRASE not in str(signed)


def test_a_library_that_repeats_the_mnemonic(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    from substrateinterface.keypair import Keypair

    def fail(text: str, **_: Any) -> None:
        raise ValueError(f"bad phrase {text}")

    monkeypatch.setattr(Keypair, "create_from_mnemonic", fail)
    error = failing(lambda: signed.address)
    assert error.code == "mnemonic-invalid"
    assert error.__cause__ is None and error.__context__ is None
