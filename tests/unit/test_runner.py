"""The cutter of the program that runs hooks on the machine, by value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.deploy.onmachine.runner import Cutter


def passed(parts: list[bytes], **limits: int) -> bytes:
    """What comes out of a cutter."""
    out: list[bytes] = []
    cutter = Cutter(out.append, **limits)
    for part in parts:
        cutter.feed(part)
    cutter.close()
    return b"".join(out)


@given(st.lists(st.binary(max_size=40)))
def test_what_is_within_the_limits_comes_through_as_it_is(parts: list[bytes]) -> None:
    assert passed(parts) == b"".join(parts)


def test_a_long_line_is_cut_wherever_it_is_split() -> None:
    text = b"short\n" + b"x" * 100 + b"\nend\n"
    wanted = b"short\n" + b"x" * 30 + b" ... 70 bytes of this line left out\nend\n"
    assert {passed([text], line=30), passed([text[i : i + 7] for i in range(0, len(text), 7)], line=30)} == {wanted}


def test_a_long_output_is_cut_between_lines_and_its_end_is_kept() -> None:
    text = b"".join(b"line %04d\n" % number for number in range(1000))
    found = passed([text[i : i + 33] for i in range(0, len(text), 33)], total=105, tail=45)
    head, note, tail = found.partition(b"\n... ")
    assert head == text[:100] and b"bytes of output left out ...\n" in tail and note
    assert tail.endswith(b"line 0998\nline 0999\n") and tail.split(b"\n")[1].startswith(b"line ")
    left = int(tail.split(b" ")[0])
    assert left + len(head) + len(tail.partition(b"\n")[2]) == len(text)
