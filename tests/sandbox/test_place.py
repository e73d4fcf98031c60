"""Whose directory it is, who may change it, and that nothing else is ever touched."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.claim import clear, held, is_sandbox, made, remove
from slurmtorc.sandbox.cluster import Cluster
from slurmtorc.sandbox.place import LONGEST_DIRECTORY, Layout, layout

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Shorter than pytest's own, which can be too long for a sandbox."""
    with TemporaryDirectory(prefix="torc-place-", dir="/tmp") as directory:
        yield Path(directory)


def never() -> None:
    pytest.fail("nobody is there to wait for")


def a_sandbox(place: Layout) -> None:
    with made(place, never):
        pass


# ── which directories can hold one ───────────────────────────────────────────


def test_each_user_has_a_directory_by_default() -> None:
    assert layout(None).directory == Path(f"/tmp/torc-sandbox-{os.getuid()}")
    assert layout(None).option == ""
    assert layout("/tmp/x").option == " --dir /tmp/x"


def test_a_relative_directory_is_meant_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert layout("../here").directory == tmp_path.parent / "here"


@pytest.mark.parametrize("length", [LONGEST_DIRECTORY, LONGEST_DIRECTORY + 1])
def test_a_directory_is_too_long_when_a_socket_in_it_would_be(length: int) -> None:
    directory = "/tmp/" + "x" * (length - 5)
    if length <= LONGEST_DIRECTORY:
        assert str(layout(directory).directory) == directory
    else:
        with pytest.raises(SandboxError, match=r"72 characters; Unix sockets allow 71 here"):
            layout(directory)


@pytest.mark.parametrize("name", ["a b", "a%n", "a,b", "a#b", "a\nb", "ä", 'a"b', "a=b"])
def test_a_directory_that_slurm_would_misread_is_refused(name: str) -> None:
    with pytest.raises(SandboxError, match=r"choose a --dir of letters, digits"):
        layout(f"/tmp/{name}")


# ── whose it is ──────────────────────────────────────────────────────────────


def test_nothing_there_is_no_sandbox(tmp_path: Path) -> None:
    assert not is_sandbox(Layout(tmp_path / "x"))
    assert Cluster(tmp_path / "x").down() is None


def test_a_new_directory_is_for_us_alone(tmp_path: Path) -> None:
    place = Layout(tmp_path / "deep" / "x")
    a_sandbox(place)
    assert is_sandbox(place)
    assert place.directory.stat().st_mode & 0o777 == 0o700


def test_an_empty_directory_of_ours_is_taken(tmp_path: Path) -> None:
    place = Layout(tmp_path / "x")
    place.directory.mkdir(mode=0o755)
    a_sandbox(place)
    assert place.directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_with_other_files_is_neither_taken_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    place = Layout(tmp_path)
    with pytest.raises(SandboxError, match="holds files and is no sandbox"):
        a_sandbox(place)
    assert Cluster(tmp_path).down() is None
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_of_somebody_else_is_refused_even_to_root(tmp_path: Path) -> None:
    if os.getuid() != 0:  # only root can give a directory away; others find one of root's
        with pytest.raises(SandboxError, match="belongs to another user"):
            is_sandbox(Layout(Path("/usr")))
        return
    place = Layout(tmp_path / "x")
    a_sandbox(place)
    os.chown(place.directory, 65534, 65534)
    for refused in (lambda: a_sandbox(place), Cluster(place.directory).down):
        with pytest.raises(SandboxError, match="belongs to another user"):
            refused()
    assert place.marker.exists()


def test_a_link_or_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(SandboxError, match="is no directory"):
            a_sandbox(Layout(tmp_path / name))


def test_a_directory_that_cannot_be_made_says_why() -> None:
    with pytest.raises(SandboxError, match="/proc/x cannot be made"):
        a_sandbox(Layout(Path("/proc/x")))


# ── one at a time ────────────────────────────────────────────────────────────


def test_a_second_one_is_told_that_it_waits_and_goes_on_when_the_first_is_done(
    tmp_path: Path,
) -> None:
    place, first, told = Layout(tmp_path / "x"), ExitStack(), []
    first.enter_context(made(place, never))

    def waiting() -> None:
        told.append("waiting")
        first.close()

    with held(place, waiting) as there:
        assert there
    assert told == ["waiting"]


def test_who_waited_for_a_removal_finds_nothing(tmp_path: Path) -> None:
    place, first = Layout(tmp_path / "x"), ExitStack()
    first.enter_context(made(place, never))

    def waiting() -> None:
        remove(place)
        first.close()

    with held(place, waiting) as there:
        assert not there


def test_who_waited_for_a_removal_makes_the_next_one(tmp_path: Path) -> None:
    place, first = Layout(tmp_path / "x"), ExitStack()
    first.enter_context(made(place, never))

    def waiting() -> None:
        remove(place)
        first.close()

    with made(place, waiting):
        assert is_sandbox(place)


# ── removal ──────────────────────────────────────────────────────────────────


def test_clearing_leaves_the_marker_and_what_is_named(tmp_path: Path) -> None:
    place = Layout(tmp_path / "x")
    a_sandbox(place)
    for folder in place.folders:
        folder.mkdir()
    place.ready.touch()
    clear(place, but=(place.logs,))
    assert sorted(place.directory.iterdir()) == [place.marker, place.logs]


def test_removal_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    place = Layout(tmp_path / "x")
    a_sandbox(place)
    (place.directory / "link").symlink_to(tmp_path / "kept")
    remove(place)
    assert not place.directory.exists()
    assert (tmp_path / "kept" / "file").exists()
