"""The logs of long commands: every line can be read by itself."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from slurmtorc.cli.log import log_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The program's own, with the handlers that a test adds taken away again."""
    ours = logging.getLogger("slurmtorc")
    before, level = list(ours.handlers), ours.level
    yield ours
    for handler in [each for each in ours.handlers if each not in before]:
        ours.removeHandler(handler)
        handler.close()
    ours.setLevel(level)


def test_each_line_of_a_message_has_the_time_and_how_serious_it_is(
    logger: logging.Logger, tmp_path: Path
) -> None:
    log_to(tmp_path / "logs" / "a.log")
    logger.info("%s", "one\ntwo")
    logger.warning("three")
    lines = (tmp_path / "logs" / "a.log").read_text().splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    said = ["INFO one", "INFO two", "WARNING three"]
    assert len(lines) == len(said)
    for line, words in zip(lines, said, strict=True):
        assert re.fullmatch(f"{time} {words}", line)


def test_on_a_terminal_the_time_of_day_is_enough(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to(None)
    logger.error("one\ntwo")
    lines = capsys.readouterr().err.splitlines()
    assert [line[8:] for line in lines] == [" ERROR one", " ERROR two"]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
