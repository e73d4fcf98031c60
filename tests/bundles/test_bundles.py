"""Bundles: every byte is a file or in a bundle, and any tar reads them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.bundles import form, packing, places
from slurmtorc.bundles.form import Bundle, Writer
from slurmtorc.bundles.packing import alone_in, pack, unpack
from slurmtorc.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (0, 1, 511, 512, 513, form.BLOCK - 1, form.BLOCK, 3 * form.BLOCK + 7)


def a_folder(path: Path, workflow_id: int = 7, jobs: int = 3) -> Path:
    """An output folder with the logs of two runs, and a file of somebody else."""
    (path / "job_stdio").mkdir(parents=True)
    for run in (1, 2):
        for job in range(1, jobs + 1):
            stem = path / "job_stdio" / f"job_wf{workflow_id}_j{job}_r{run}_a1"
            stem.with_suffix(".o").write_text(f"output {job} of run {run}\n" * job)
            stem.with_suffix(".e").write_text("")
        (path / f"job_runner_host_wf{workflow_id}_r{run}.log").write_text("worker\n")
    (path / f"watch_host_wf{workflow_id}.log").write_text("watch\n")
    (path / "result_of_wf7.csv").write_text("precious")
    (path / "job_stdio" / "job_wf77_j1_r1_a1.o").write_text("another workflow's")
    return path


def everything(folder: Path) -> dict[str, bytes]:
    """What is in the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and places.FOLDER not in path.parts
    }


def pack_all(folder: Path, *, remove: bool) -> list[packing.Packing]:
    with alone_in(folder):
        found = places.logs_in(folder, 7)
        return [pack(folder, 7, run, names, remove=remove) for run, names in found.items()]


# ── the form ─────────────────────────────────────────────────────────────────


def test_any_tar_unpacks_what_was_packed(tmp_path: Path) -> None:
    written = {}
    with (tmp_path / "b.tar.gz").open("wb") as out:
        writer = Writer(out)
        for size in SIZES:
            path = tmp_path / f"f{size}"
            path.write_bytes(random.Random(size).randbytes(size))
            written[path.name] = path.read_bytes()
            writer.add(path.name, path)
        writer.finish()
    subprocess.run(["gzip", "--test", "b.tar.gz"], cwd=tmp_path, check=True)
    (tmp_path / "x").mkdir()
    subprocess.run(["tar", "xzf", "../b.tar.gz"], cwd=tmp_path / "x", check=True)
    unpacked = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    assert unpacked.pop(form.INDEX)
    assert unpacked == written
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert tar.getnames() == [*written, form.INDEX]
    bundle = Bundle(tmp_path / "b.tar.gz")
    bundle.verify()
    assert {name: bundle.open(name).read() for name in reversed(bundle.members)} == written


@given(st.lists(st.binary(max_size=3000), max_size=8), st.integers(1, 2000))
def test_each_file_is_found_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], block: int
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, (folder / "b").open("wb") as out:
        patch.setattr(form, "BLOCK", block)
        writer = Writer(out)
        for number in range(len(contents)):
            writer.add(str(number), folder / str(number))
        writer.finish()
    bundle = Bundle(folder / "b")
    assert [bundle.open(str(n)).read() for n in range(len(contents))] == contents


def test_damage_is_one_clear_line_wherever_it_is(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    pack_all(folder, remove=False)
    (path,) = places.bundles_in(folder, 7, 1)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        try:
            bundle = Bundle(path)
            bundle.verify()
        except Conflict as error:
            assert "is damaged" in str(error)  # noqa: PT017  not every byte counts: a header's do not
        else:
            assert {n: bundle.open(n).read() for n in bundle.members} == {
                n: (folder / n).read_bytes() for n in bundle.members
            }
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Conflict, match="is no bundle of logs, or is damaged"):
        Bundle(path)


# ── packing ──────────────────────────────────────────────────────────────────


def test_only_a_workflows_own_logs_are_packed_each_run_by_itself(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    found = places.logs_in(folder, 7)
    assert list(found) == [0, 1, 2]
    assert found[0] == ["watch_host_wf7.log"]
    assert len(found[1]) == 7
    assert all("_r1" in name for name in found[1])


def test_files_stay_unless_they_are_to_go_and_come_back_as_they_were(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    before = everything(folder)
    moment = (folder / "watch_host_wf7.log").stat().st_mtime_ns
    assert sum(one.packed for one in pack_all(folder, remove=False)) == 15
    assert everything(folder) == before
    again = pack_all(folder, remove=True)
    assert (sum(one.packed for one in again), sum(one.removed for one in again)) == (0, 15)
    left = everything(folder)
    assert set(left) == {"result_of_wf7.csv", "job_stdio/job_wf77_j1_r1_a1.o"}
    for bundle in places.bundles_in(folder, 7):
        assert unpack(folder, bundle, remove=True)[1] == []
    assert everything(folder) == before
    assert places.bundles_in(folder) == []
    assert (folder / "watch_host_wf7.log").stat().st_mtime_ns == moment


def test_a_file_that_was_written_to_since_is_packed_anew_and_never_lost(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    pack_all(folder, remove=False)
    log = folder / "watch_host_wf7.log"
    log.write_text("watch\nand again\n")
    pack_all(folder, remove=True)
    assert not log.exists()
    found = places.find(log)
    assert found is not None
    assert found.open_bytes().read() == b"watch\nand again\n"
    assert len(places.bundles_in(folder, 7, places.WHOLE_WORKFLOW)) == 2


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    pack_all(folder, remove=True)
    log = folder / "watch_host_wf7.log"
    log.write_text("mine")
    (bundle,) = places.bundles_in(folder, 7, places.WHOLE_WORKFLOW)
    assert unpack(folder, bundle, remove=True) == (0, ["watch_host_wf7.log"])
    assert log.read_text() == "mine"
    assert bundle.exists()


def test_many_files_become_several_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST", 3)
    folder = a_folder(tmp_path)
    pack_all(folder, remove=True)
    assert len(places.bundles_in(folder, 7, 1)) == 3
    log = folder / "job_stdio" / "job_wf7_j3_r1_a1.o"
    found = places.find(log)
    assert found is not None
    assert found.open_bytes().read() == b"output 3 of run 1\n" * 3


def test_of_two_that_pack_at_once_one_is_told(tmp_path: Path) -> None:
    with alone_in(tmp_path):  # noqa: SIM117  the inner one is refused
        with pytest.raises(Conflict, match="another process packs"), alone_in(tmp_path):
            pass


KILL = """
import os, signal, sys
from pathlib import Path
from slurmtorc.bundles import packing, places
folder, at, calls = Path(sys.argv[1]), int(sys.argv[2]), 0
def step(event, arguments):
    global calls
    if event in ("open", "os.rename", "os.remove") and sys.argv[1] in str(arguments[0]):
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
for run, names in places.logs_in(folder, 7).items():
    packing.pack(folder, 7, run, names, remove=True)
"""


def test_killed_at_any_step_nothing_is_lost_and_the_next_goes_on(tmp_path: Path) -> None:
    killed = 0
    for at in (1, 5, 9, 10, 11, 12, 13, 14, 17, 25, 40, 400):
        folder = a_folder(tmp_path / str(at), jobs=1)
        before = everything(folder)
        (folder / places.FOLDER).mkdir()
        done = subprocess.run([sys.executable, "-c", KILL, folder, str(at)], check=False)
        assert done.returncode in {0, -signal.SIGKILL}
        killed += done.returncode != 0
        for name, content in before.items():
            packed = None if (folder / name).exists() else places.find(folder / name)
            assert packed is None or packed.open_bytes().read() == content
            assert packed is not None or (folder / name).read_bytes() == content
        pack_all(folder, remove=True)
        for bundle in places.bundles_in(folder, 7):
            unpack(folder, bundle, remove=True)
        assert {n: c for n, c in everything(folder).items() if ".part" not in n} == before
    assert 8 <= killed < 12


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        (disk / "job_stdio").mkdir()
        log = disk / "job_stdio" / "job_wf7_j1_r1_a1.o"
        log.write_bytes(random.Random(1).randbytes(700_000))
        with pytest.raises(Conflict, match=r"the disk is full; make room.*no log was lost"):
            pack_all(disk, remove=True)
        assert log.stat().st_size == 700_000
        assert list((disk / places.FOLDER).glob("*.part")) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
