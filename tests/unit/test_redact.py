"""Secrets stay out of everything that is shown: by type, by value, and in encoded forms."""

from __future__ import annotations

import base64
import copy
import html
import json
import shlex
import shutil
import string
import subprocess
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tfgrid_compose.observe.redact import MASK, Redactor, Secret

# Of printable ASCII, so that a secret never overlaps with the mask's own signs.
secrets = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " ", min_size=4, max_size=40).filter(
    lambda value: len(value.strip()) >= 4 and value.strip() not in MASK
)
around = st.text(alphabet=string.printable, max_size=20)


def redactor(*values: str) -> Redactor:
    found = Redactor()
    found.add(*values)
    return found


def test_a_secret_shows_itself_only_on_demand() -> None:
    secret = Secret("hunter2!")
    for shown in (str(secret), repr(secret), f"{secret}", f"{[secret]}", format(secret)):
        assert "hunter2!" not in shown
        assert MASK in shown
    assert secret.reveal() == "hunter2!"
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_value_and_never_with_plain_text() -> None:
    assert Secret("a") == Secret("a") == copy.copy(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_nothing_known_means_nothing_changed() -> None:
    assert Redactor().text("anything") == "anything"
    event = object()
    assert Redactor().event(event) is event


def test_very_short_values_would_mask_ordinary_words_and_are_left_alone() -> None:
    assert redactor("yes", "  a ", "").text("yes, a word") == "yes, a word"


def test_every_line_of_a_key_is_masked_and_the_longest_value_wins() -> None:
    key = "-----BEGIN KEY-----\nAAAAB3NzaC1\nqqqqwwww\n-----END KEY-----\n"
    assert redactor(key).text("it has AAAAB3NzaC1 in it") == f"it has {MASK} in it"
    assert redactor("abcd", "abcdefgh").text("abcdefgh") == MASK


def test_data_of_any_shape_is_masked_and_keeps_its_shape() -> None:
    value = {"a": ["hunter2!", 1, None, True], "b": ("x hunter2!",), "c": {"d": 2.5}}
    assert redactor("hunter2!").data(value) == {"a": [MASK, 1, None, True], "b": (f"x {MASK}",), "c": {"d": 2.5}}


def test_what_is_no_dataclass_passes_as_it_is() -> None:
    assert redactor("hunter2!").event("hunter2!") == "hunter2!"
    assert redactor("hunter2!").event(Secret) is Secret


@given(secrets, around, around)
def test_no_plain_form_survives(secret: str, before: str, after: str) -> None:
    assert secret.strip() not in redactor(secret).text(before + secret + after).replace(MASK, "")


@given(secrets, around, around, st.sampled_from([lambda value: quote(value, safe=""), quote_plus]))
def test_no_url_encoded_form_survives(secret: str, before: str, after: str, encode: object) -> None:
    form = encode(secret.strip())  # type: ignore[operator]
    assert form not in redactor(secret).text(f"https://x/?p={before}{form}{after}").replace(MASK, "")


@given(secrets)
def test_no_base64_of_the_secret_alone_survives(secret: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        form = encode(secret.strip().encode()).decode()
        assert redactor(secret).text(f"Authorization: Basic {form}").removeprefix("Authorization: Basic ").rstrip("=") == MASK


@given(st.text(string.ascii_letters, min_size=14, max_size=40), st.integers(1, 2), st.integers(0, 5))
def test_a_long_secret_inside_a_longer_base64_text_is_masked_when_it_does_not_begin_it(secret: str, lead: int, tail: int) -> None:
    assume(secret not in MASK)
    encoded = base64.b64encode(b"x" * lead + secret.encode() + b"y" * tail).decode()
    assert MASK in redactor(secret).text(encoded)


@pytest.mark.parametrize("tail", ["!", ":x"])
def test_base64_of_a_secret_with_more_behind_it_is_masked(tail: str) -> None:
    secret = "correct horse battery staple"
    assert MASK in redactor(secret).text(base64.b64encode((secret + tail).encode()).decode())


def test_base64_of_a_short_secret_with_something_before_it_is_masked() -> None:
    assert MASK in redactor("hunter2!").text(base64.b64encode(b"xhunter2!").decode())


@given(secrets, st.binary(max_size=7), st.binary(max_size=7))
def test_no_base64_form_survives_at_any_offset(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.strip().encode() + after).decode()
    assert MASK in redactor(secret).text(encoded)


def test_url_safe_base64_is_masked_at_every_offset() -> None:
    secret = "???>>>???>>>???>>>"
    for lead in (1, 2):
        assert MASK in redactor(secret).text(base64.urlsafe_b64encode(b"x" * lead + secret.encode()).decode())


@pytest.mark.parametrize("form", ["p%40ss/w%3Ard", "p%40ss%2fw%3ard"])
def test_url_forms_with_a_slash_or_in_small_letters_are_masked(form: str) -> None:
    assert form not in redactor("p@ss/w:rd").text(form)


def test_the_json_form_is_masked() -> None:
    assert MASK in redactor('pass"word').text('{"password": "pass\\"word"}')


def test_a_secret_that_is_no_utf8_is_learnt_too() -> None:
    assert redactor("abcd\udcff").text("abcd\udcff") == MASK


def test_a_secret_that_is_a_key_is_masked() -> None:
    assert "hunter2!" not in redactor("hunter2!").data({"hunter2!": 1})


def test_ordinary_words_are_not_taken_for_base64() -> None:
    text = "Installing nginx into /var/cache/apt/archives and starting the services of this machine again"
    assert redactor("pass", "word", "abcd", "test", "0000").text(text) == text


# Further encodings


@given(secrets, around, around, st.sampled_from([str.lower, str.upper]))
@example("00000", "", "X", str.lower)
@example("0000", "", "Xa", str.lower)
@example("secret P", "0x", "x1", str.upper)
def test_no_hex_form_survives(secret: str, before: str, after: str, case: object) -> None:
    form = case(secret.strip().encode().hex())  # type: ignore[operator]
    assert form not in redactor(secret).text(before + form + after).replace(MASK, "|")


@given(secrets, st.binary(max_size=6), st.binary(max_size=6))
def test_no_base32_form_survives_at_any_offset(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b32encode(before + secret.strip().encode() + after).decode()
    assert MASK in redactor(secret).text(encoded)


any_secrets = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=20).filter(
    lambda value: len(value.strip()) >= 4 and value.strip() not in MASK and len(value.splitlines()) == 1
)


@given(
    any_secrets,
    st.sampled_from(
        [html.escape, lambda text: html.escape(text).replace("&#x27;", "&#39;"),
         lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(), shlex.quote, repr, ascii, json.dumps,
         lambda text: json.dumps(text, ensure_ascii=False), lambda text: repr(text.encode()),
         lambda text: "".join(f"\\{byte:03o}" if not chr(byte).isalnum() or byte > 127 else chr(byte) for byte in text.encode()),
         lambda text: text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`"),
         lambda text: json.dumps(json.dumps(text)) if "\\" not in text else json.dumps(text)]
    ),
)  # fmt: skip
def test_no_quoted_or_escaped_form_survives(secret: str, spell: object) -> None:
    secret = secret.strip()
    form = spell(secret)  # type: ignore[operator]
    shown = redactor(secret).text(f"<{form}>")
    assert MASK in shown, form
    assert len(shown.replace(MASK, "")) <= 12, form


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("secret", ["p@ss w/rd", 'it\'s "here"', "a\\b$c`d", "tabs\there", "ünïcode!", "100%&more"])
def test_what_bash_prints_of_a_secret_is_masked(secret: str) -> None:
    for locale in ("C", "C.UTF-8"):
        done = subprocess.run(
            ["bash", "-c", 'printf "%q\\n" "$1"; set -x; : "$1"', "-", secret], capture_output=True, env={"LC_ALL": locale}
        )
        for form in (done.stdout, done.stderr):
            text = form.decode(errors="surrogateescape").strip()
            assert MASK in redactor(secret).text(text), text


def test_no_part_of_overlapping_secrets_is_left() -> None:
    assert redactor("abcdef", "defghi").text("<abcdefghi>") == f"<{MASK}>"
    assert redactor("abcdef", "ghijkl").text("<abcdefghijkl>") == f"<{MASK}{MASK}>"


def test_the_mask_itself_is_never_masked_again() -> None:
    assert redactor("redacted", "hunter2!").text("hunter2!") == MASK


def test_a_very_long_secret_is_masked_in_pieces_and_learnt_quickly() -> None:
    secret = "".join(f"{number:05d}," for number in range(2_000))
    begin = time.process_time()
    known = redactor(secret)
    for form in (secret, base64.b64encode(b"x" + secret.encode()).decode(), secret.encode().hex()):
        shown = known.text(f"<{form}>").replace(MASK, "")
        assert len(shown) < 40
    assert time.process_time() - begin < 10


def test_a_value_with_a_remainder_too_short_for_a_piece_is_masked_to_its_end() -> None:
    for length in range(1020, 1036):
        secret = "".join(f"{number:05d}" for number in range(300))[:length]
        assert redactor(secret).text(f"<{secret}>").replace(MASK, "") == "<>"


@pytest.mark.parametrize(
    "secret", ["\\" * 40 + "a", "%" * 40 + "a", "%25" * 20, "&amp;" * 10, "'" * 40 + "b", "a" * 40, " +" * 20]
)
@pytest.mark.parametrize("text", ["\\", "%", "%25", "%2", "&amp;", "&", "'", "'\"'\"'", "a", " ", "+", "\\x5c", "%5c", "QUFB"])
def test_no_text_makes_it_slow(secret: str, text: str) -> None:
    known = redactor(secret)
    begin = time.process_time()
    known.text(text * 20_000)
    assert time.process_time() - begin < 3


def test_values_of_one_to_three_signs_are_left_alone_in_every_form() -> None:
    assert redactor("a", "ab", "abc").text("a ab abc YWJj 616263") == "a ab abc YWJj 616263"
