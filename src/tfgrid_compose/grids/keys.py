"""Mnemonics, seeds and the keys that follow from them; nothing here ever says a word of a mnemonic.

Source of the rules: BIP-39 (list of 2048 English words, checksum), and the key types and the address prefix of tfchain
in the facts under "From Python". `bip39.txt` is the list of the standard, one word a line, in its order.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgrid_compose.errors import GridError
from tfgrid_compose.observe.redact import PROCESS

if TYPE_CHECKING:
    from tfgrid_compose.observe.redact import Secret

KEY_TYPES = ("sr25519", "ed25519")
COUNTS = (12, 15, 18, 21, 24)
_SEED_DIGITS = 64
_PREFIX = 42
_BITS = 11


@functools.cache
def words() -> tuple[str, ...]:
    """The list of the standard, in its order."""
    return tuple(Path(__file__).with_name("bip39.txt").read_text(encoding="ascii").split())


def learn(text: str) -> None:
    """Keep a mnemonic or seed out of all that is shown from now on, valid or not."""
    one_line = " ".join(text.split())
    # Words alone are ordinary ones; only all of them in a row are the secret.
    PROCESS.add(one_line, normal(text))


def normal(text: str) -> str:
    """A mnemonic or seed as it is kept: small letters, one blank between words."""
    return " ".join(unicodedata.normalize("NFKD", text).lower().split())


def checked(text: str, origin: str = "") -> str:
    """The mnemonic or seed in its normal form.

    Raises `GridError` (`mnemonic-invalid`) that says which word is wrong by its position, and no word itself. `origin`
    says where the text was found.
    """
    learn(text)
    plain = normal(text)
    mistake = _seed_mistake(plain) if plain.startswith("0x") else _mistake(plain.split())
    if mistake:
        raise GridError(
            f"the mnemonic{f' in {origin}' if origin else ''} is not valid",
            why=mistake,
            fix="compare it with what was written down when the account was made, word by word",
            code="mnemonic-invalid",
        )
    return plain


def _seed_mistake(plain: str) -> str:
    digits = plain.removeprefix("0x")
    wrong = next((place for place, sign in enumerate(digits, 1) if sign not in "0123456789abcdef"), 0)
    if wrong:
        return f"a seed is 0x and {_SEED_DIGITS} hexadecimal digits, but sign {wrong} after the 0x is none"
    return "" if len(digits) == _SEED_DIGITS else f"a seed is 0x and {_SEED_DIGITS} hexadecimal digits, but it has {len(digits)}"


def _mistake(found: list[str]) -> str:
    known = {word: place for place, word in enumerate(words())}
    if not found:
        return "it is empty"
    wrong = [place for place, word in enumerate(found, 1) if word not in known]
    if len(found) not in COUNTS:
        missing = f", and {_places(wrong)} not in the list of words" if wrong and len(wrong) < len(found) else ""
        return f"a mnemonic has 12, 15, 18, 21 or 24 words, but it has {len(found)}{missing}"
    if len(wrong) == 1:
        return f"word {wrong[0]} of {len(found)} is not in the list of words; {_near(found[wrong[0] - 1])}"
    if wrong:
        return f"{_places(wrong)} of {len(found)} are not in the list of words"
    if not _fits([known[word] for word in found]):
        return f"all {len(found)} words are in the list, but they don't belong together: one is another one, or two are exchanged"
    return ""


def _places(wrong: list[int]) -> str:
    return f"word {wrong[0]} is" if len(wrong) == 1 else "words " + ", ".join(map(str, wrong))


def _near(word: str) -> str:
    """How many words could be meant; which ones is a part of the secret, and messages end in logs."""
    near = set(difflib.get_close_matches(word, words(), n=9, cutoff=0.8))
    near |= {item for item in words() if len(word) >= 3 and (item.startswith(word) or word.startswith(item) and len(item) > 3)}
    if len(near) == 1:
        return "exactly one word of the list is near it, so a letter or two are wrong"
    return f"{len(near)} words of the list are near it" if near else "no word of the list is near it"


def _fits(numbers: list[int]) -> bool:
    """Whether the last bits are the checksum of the others: one bit for each 32."""
    bits = "".join(f"{number:0{_BITS}b}" for number in numbers)
    size = len(bits) * 32 // 33
    entropy = int(bits[:size], 2).to_bytes(size // 8, "big")
    digest = int.from_bytes(hashlib.sha256(entropy).digest(), "big")
    return f"{digest:0256b}"[: len(bits) - size] == bits[size:]


def keypair(secret: Secret, key_type: str) -> Any:
    """The pair of keys that a valid mnemonic or seed gives."""
    from substrateinterface.keypair import Keypair, KeypairType  # type: ignore[import-untyped]

    kind = {"sr25519": KeypairType.SR25519, "ed25519": KeypairType.ED25519}[key_type]
    text = secret.reveal()
    make = Keypair.create_from_seed if text.startswith("0x") else Keypair.create_from_mnemonic
    try:
        return make(text, ss58_format=_PREFIX, crypto_type=kind)
    except Exception:
        # Whatever went wrong: the library's words, and the values of its calls, hold the secret.
        failed = GridError(
            "no key can be made of the mnemonic", why="the library for keys refused it",
            fix="tfgrid-compose signin", code="mnemonic-invalid",
        )  # fmt: skip
    raise failed


def address(secret: Secret, key_type: str) -> str:
    """The account's address, as everybody writes it on the grid."""
    return str(keypair(secret, key_type).ss58_address)
