"""Notations: parsed and printed in pairs, and refused with what to write instead."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc import units
from slurmtorc.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("512", 512), ("1k", 1024), ("1m", 1 << 20), ("8g", 8 << 30), ("2T", 2 << 40),
        (" 4G ", 4 << 30), ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_memory(text: str, size: int) -> None:
    assert units.parse_memory(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10 gigs", "write 10g"),
        ("4gb", "write 4g"),
        ("8GiB", "write 8g"),
        ("16 MB", "write 16m"),
        ("1.5g", "write a whole number"),
        ("", "write a whole number"),
        ("-1g", "write a whole number"),
        ("lots", "write a whole number"),
        ("9999999999t", "more than any machine has"),
        ("٣g", "write a whole number"),
    ],
)
def test_memory_in_other_words_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        units.parse_memory(text)


@given(st.integers(0, 2**63 - 1))
def test_memory_is_printed_as_it_is_read(size: int) -> None:
    assert units.parse_memory(units.format_memory(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT30M", 1800), ("PT2H", 7200), ("P0DT1M", 60), ("PT1H30M15S", 5415), ("P1DT12H", 129_600),
        ("P2W", 1_209_600), ("P1M", 2_629_800), ("P1Y", 31_557_600), ("PT1.9S", 1), ("PT0S", 0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2h", "write PT2H"),
        ("30 min", "write PT30M"),
        ("90s", "write PT90S"),
        ("3 days", "write P3D"),
        ("3600", "ISO 8601"),
        ("", "ISO 8601"),
        ("P", "ISO 8601"),
        ("PT", "ISO 8601"),
        ("P1DT", "ISO 8601"),
        ("PT-5M", "ISO 8601"),
        ("1:00:00", "ISO 8601"),
    ],
)
def test_durations_in_other_words_say_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        units.parse_duration(text)


@given(st.integers(0, 10**9))
def test_durations_are_printed_as_they_are_read(seconds: int) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800), ("30:15", 1815), ("01:00:00", 3600), ("1-00", 86_400), ("1-12:30", 131_400),
        ("10-00:00:00", 864_000), ("UNLIMITED", None), ("infinite", None),
    ],
)  # fmt: skip
def test_walltimes_as_slurm_reads_them(text: str, seconds: int | None) -> None:
    assert units.parse_walltime(text) == seconds


@pytest.mark.parametrize("text", ["", "1h", "1:2:3:4", "-5", "1-", "a"])
def test_other_walltimes_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="D-HH:MM:SS"):
        units.parse_walltime(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3600, "01:00:00"), (14_400, "04:00:00"), (86_400, "1-00:00:00"), (93_600, "1-02:00:00"),
        (172_800, "2-00:00:00"), (59, "00:00:59"),
    ],
)  # fmt: skip
def test_walltimes_as_slurm_prints_them(seconds: int, text: str) -> None:
    assert units.format_walltime(seconds) == text


@given(st.integers(0, 10**8))
def test_walltimes_are_printed_as_they_are_read(seconds: int) -> None:
    assert units.parse_walltime(units.format_walltime(seconds)) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 20, "5 MiB"),
        (3 << 40, "3 TiB"),
    ],
)
def test_memory_for_people(size: int | None, text: str) -> None:
    assert units.display_memory(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.314, "0.31 s"), (42.4, "42 s"), (307, "5:07"), (7390, "2:03:10"),
        (266_400, "3 d 02:00"),
    ],
)  # fmt: skip
def test_seconds_for_people(seconds: float | None, text: str) -> None:
    assert units.display_seconds(seconds) == text


def test_moments() -> None:
    assert units.iso_time(1_700_000_000.5) == "2023-11-14T22:13:20.500Z"
    assert units.iso_time(None) is None
    local = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(1_700_000_000))
    assert units.parse_slurm_time(local) == 1_700_000_000
    for nothing in ("N/A", "None", "Unknown", ""):
        assert units.parse_slurm_time(nothing) is None
