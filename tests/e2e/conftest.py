"""Fixtures for tests on real clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from torc import Torc


@pytest.fixture
def watching(torc: Torc) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `torc watch`; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(torc.start("watch", *arguments))
        return started[-1]

    yield start
    for watch in started:
        if watch.poll() is None:
            watch.kill()
            watch.communicate()
