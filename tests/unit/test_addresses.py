"""The grid's address plan, held to the documented examples."""

from __future__ import annotations

import pytest

from tfgrid_compose.grids import addresses


def test_mycelium_address_is_the_documented_one() -> None:
    key = "9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627"
    network = addresses.mycelium_network(key)
    assert addresses.machine_mycelium(network, "b60f2b7ec39c") == "5e8:946b:3fb0:edb8:ff0f:b60f:2b7e:c39c"


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        ("zz", "failed to decode"),
        ("b60f", "invalid mycelium ip seed length"),
        ("00" * 6, "invalid seed"),
        ("ff" * 6, "invalid seed"),
    ],
)
def test_bad_seeds_are_refused_in_the_providers_words(seed: str, words: str) -> None:
    with pytest.raises(addresses.AddressError, match=words):
        addresses.machine_mycelium("5e8:946b:3fb0:edb8::/64", seed)


@pytest.mark.parametrize(("key", "words"), [("xx", "failed to decode"), ("00", "invalid mycelium key length 1")])
def test_bad_keys_are_refused(key: str, words: str) -> None:
    with pytest.raises(addresses.AddressError, match=words):
        addresses.mycelium_network(key)


def test_the_user_gets_the_first_subnet_and_nodes_the_next() -> None:
    subnets, user = addresses.plan_subnets("10.1.0.0/16", [7, 9], {}, user=True)
    assert (user, subnets) == ("10.1.2.0/24", {7: "10.1.3.0/24", 9: "10.1.4.0/24"})


def test_without_access_nodes_start_at_two() -> None:
    assert addresses.plan_subnets("10.1.0.0/16", [7], {}, user=False) == ({7: "10.1.2.0/24"}, None)


def test_subnets_that_are_taken_stay() -> None:
    subnets, user = addresses.plan_subnets("10.1.0.0/16", [7, 9], {9: "10.1.3.0/24"}, True, "10.1.2.0/24")
    assert (user, subnets) == ("10.1.2.0/24", {7: "10.1.4.0/24", 9: "10.1.3.0/24"})


def test_a_full_network_says_so() -> None:
    with pytest.raises(addresses.AddressError, match="could not find a free ip to add node"):
        addresses.plan_subnets("10.1.0.0/16", list(range(300)), {}, user=False)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("10.1.2.0/16", "expected 10.1.0.0/16, got 10.1.2.0/16"),
        ("10.1.0.0/24", "between 16 and 16"),
        ("nonsense", "to contain a valid Value"),
        ("10.0.0.0", "expected 10.0.0.0/32"),
    ],
)
def test_ranges_must_be_exactly_a_16(value: str, words: str) -> None:
    with pytest.raises(addresses.AddressError, match=words):
        addresses.check_network_range(value)


def test_access_config_is_the_providers_text() -> None:
    text = addresses.access_config("PRIV=", "10.1.2.0/24", "10.1.0.0/16", "PUB=", "1.2.3.4:5")
    assert text == (
        "\n[Interface]\nAddress = 100.64.1.2\nPrivateKey = PRIV=\n[Peer]\nPublicKey = PUB=\n"
        "AllowedIPs = 10.1.0.0/16, 100.64.0.0/16\nPersistentKeepalive = 25\nEndpoint = 1.2.3.4:5\n\t"
    )


def test_the_chosen_range_overlaps_no_route() -> None:
    routes = ["10.5.0.0/16", "10.6.1.0/24", "0.0.0.0/0", "fd00::/8", "172.16.0.0/12"]
    assert addresses.choose_range(routes, start=5) == "10.7.0.0/16"
    assert addresses.choose_range([], start=230) == "10.230.0.0/16"


def test_when_every_range_is_taken_it_says_so() -> None:
    with pytest.raises(addresses.AddressError, match="taken by a route"):
        addresses.choose_range(["10.0.0.0/8"])
