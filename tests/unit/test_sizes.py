"""Sizes as people write them: units, rounding, and refusal of everything else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.manifest.sizes import NAMED_SIZES, disk_gib, memory_mib

UNITS = {"M": 1, "G": 1024, "T": 1024 * 1024}


@pytest.mark.parametrize(
    ("written", "mib"),
    [
        (4096, 4096), ("4096", 4096), ("8G", 8192), ("8g", 8192), ("8GB", 8192), ("8GiB", 8192), ("512M", 512), ("512 MB", 512),
        ("1.5G", 1536), (" 2G ", 2048), ("1T", 1048576), ("2048K", 2), (512.0, 512),
    ],
)  # fmt: skip
def test_memory_is_read_in_every_spelling(written: int | float | str, mib: int) -> None:
    assert memory_mib(written) == mib


@pytest.mark.parametrize(
    ("written", "gib"),
    [(50, 50), ("50", 50), ("50G", 50), ("50GB", 50), ("51200M", 50), ("51201M", 51), ("1T", 1024), (0.5, 1), ("1025M", 2)],
)
def test_a_part_of_a_gib_of_disk_counts_as_one(written: int | float | str, gib: int) -> None:
    assert disk_gib(written) == gib


@pytest.mark.parametrize("written", ["", "G", "abc", "-1", "1,5G", "1e3", "8 X", "8G G", True, False, None, [], "٣G3", "1.G"])
def test_what_is_no_size_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="is not a size; write 4096"):
        memory_mib(written)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not a size; write 50"):
        disk_gib(written)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", [0, "0G", "0", "1K", 0.2])
def test_less_than_a_mib_is_refused(written: int | float | str) -> None:
    with pytest.raises(ValueError, match="too small"):
        memory_mib(written)


@given(st.integers(1, 10**6), st.sampled_from("MGT"), st.sampled_from(["", "B", "iB", "b"]), st.sampled_from(["", " "]))
def test_a_unit_multiplies_the_number(number: int, unit: str, suffix: str, space: str) -> None:
    assert memory_mib(f"{number}{space}{unit}{suffix}") == number * UNITS[unit]


@given(st.integers(1, 10**9))
def test_a_bare_number_is_mib_of_memory_and_gib_of_disk(number: int) -> None:
    assert memory_mib(number) == memory_mib(str(number)) == number
    assert disk_gib(number) == disk_gib(str(number)) == number


@given(st.integers(1, 10**9))
def test_disk_never_shrinks_by_rounding(mib: int) -> None:
    assert disk_gib(f"{mib}M") == math.ceil(mib / 1024)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from("MGT"))
def test_more_is_never_less(one: int, other: int, unit: str) -> None:
    low, high = sorted((one, other))
    assert memory_mib(f"{low}{unit}") <= memory_mib(f"{high}{unit}")
    assert disk_gib(f"{low}{unit}") <= disk_gib(f"{high}{unit}")


@given(st.text(alphabet="0123456789.kKmMgGtTiIbB -+eE", max_size=12))
def test_any_text_is_a_positive_size_or_a_value_error(text: str) -> None:
    for parse in (memory_mib, disk_gib):
        try:
            assert parse(text) >= 1
        except ValueError as error:
            assert repr(text) in str(error)


@pytest.mark.parametrize("written", ["5\u212a", "9" * 400, 10**400], ids=["kelvin", "text", "number"])
def test_odd_letters_and_endless_numbers_are_refused_too(written: int | str) -> None:
    with pytest.raises(ValueError):
        memory_mib(written)


def test_named_sizes_are_those_of_the_bash_tool() -> None:
    assert NAMED_SIZES == {"dev": 0, "small": 1, "medium": 2, "large": 4, "xlarge": 8}
