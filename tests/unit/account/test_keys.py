"""Words and keys: which mnemonics and seeds are right, and the addresses that follow from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.account.people import ALICE, ALICE_SEED, ED25519, PHRASE, SR25519
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import keys
from tfgrid_compose.observe.redact import PROCESS, Secret


def test_the_list_of_words_is_the_standards() -> None:
    """The digest of `english.txt` of BIP-39."""
    raw = Path(keys.__file__).with_name("bip39.txt").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert len(keys.words()) == 2048


@pytest.mark.parametrize(
    ("text", "key_type", "address"),
    [(PHRASE, "sr25519", SR25519), (PHRASE, "ed25519", ED25519), (ALICE_SEED, "sr25519", ALICE)],
)
def test_addresses_of_known_keys(text: str, key_type: str, address: str) -> None:
    assert keys.address(Secret(keys.checked(text)), key_type) == address


@pytest.mark.parametrize("count", keys.COUNTS)
def test_every_length_of_the_standard(count: int) -> None:
    """Entropy of zeros: the first word again and again, and one that holds the checksum."""
    last = {12: "about", 15: "address", 18: "agent", 21: "admit", 24: "art"}[count]
    text = "abandon " * (count - 1) + last
    assert keys.checked(text) == text
    from bip39 import bip39_validate

    assert bip39_validate(text, "en")


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: f"  {text.replace(' ', chr(10))}\n", lambda text: text.replace(" ", "\u3000")]
)
def test_spelling_does_not_matter(change: Callable[[str], str]) -> None:
    assert keys.checked(change(PHRASE)) == PHRASE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("hello", "has 12, 15, 18, 21 or 24 words, but it has 1"),
        (PHRASE + " walk", "but it has 13"),
        (PHRASE.replace("lake", "lakke"), "word 4 of 12 is not in the list of words; exactly one word of the list is near it"),
        (PHRASE.replace("lake", "qqqqqq"), "word 4 of 12 is not in the list of words; no word of the list is near it"),
        (PHRASE.replace("lake", "sto"), "words of the list are near it"),
        (PHRASE.replace("lake", "lakke").replace("fit", "fitt"), "words 4, 11 of 12 are not in the list"),
        (PHRASE.replace("lake", "walk"), "all 12 words are in the list, but they don't belong together"),
        (PHRASE.replace("lake curtain", "curtain lake"), "two are exchanged"),
        ("0x12", "a seed is 0x and 64 hexadecimal digits, but it has 2"),
        (ALICE_SEED[:-1] + "g", "but sign 64 after the 0x is none"),
        (ALICE_SEED + "00", "but it has 66"),
    ],
)
def test_what_is_wrong_is_said_without_a_word_of_it(text: str, why: str) -> None:
    with pytest.raises(GridError) as caught:
        keys.checked(text, "a file")
    error = caught.value
    assert error.code == "mnemonic-invalid" and why in error.why and "in a file" in error.what
    ours = {"a", "is", "it", "or", "hello", "fit"}
    said = set(f"{error.why} {error.fix}".replace(",", " ").split())
    assert not {word for word in text.split() if len(word) > 3} & (said - ours)


def test_a_wrong_mnemonic_is_redacted_too() -> None:
    with pytest.raises(GridError):
        keys.checked(PHRASE + " walk")
    assert "lonely" not in PROCESS.text(f"the provider said: `{PHRASE} walk` is wrong")
