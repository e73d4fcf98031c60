"""What accounting keeps for reports is read, all of it, on three versions of Slurm."""

from __future__ import annotations

import pytest
from recordings import SACCT, VERSIONS, in_columns, sections

from slurmtorc.model import SlurmState, UsageEntry
from slurmtorc.slurm import columns, commands, usage
from slurmtorc.slurm.commands import USAGE
from slurmtorc.slurm.nodes import expand_nodes

KIB = 1024


def read(version: str, label: str, name: str = "sacct") -> list[UsageEntry]:
    return usage.entries(in_columns(sections(version, f"{name}.txt")[label], SACCT, USAGE))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["sacct", "sacct-D"])
def test_every_recorded_row_is_read_steps_included(version: str, name: str) -> None:
    for label, text in sections(version, f"{name}.txt").items():
        entries = read(version, label, name)
        lines = [line for line in text.splitlines() if "|" in line]
        assert len(entries) == len(lines), label
        for entry, line in zip(entries, lines, strict=True):
            fields = line.split("|")
            assert fields[0] == f"{entry.slurm_job_id}{'.' * bool(entry.step)}{entry.step}"
            assert entry.elapsed_s == int(fields[SACCT.index("ElapsedRaw")])
            assert entry.num_nodes == len(expand_nodes(entry.nodes))
            assert (entry.cpus > 0) == ("cpu=" in fields[SACCT.index("AllocTRES")])
            assert entry.used_cpu_s is not None, fields[SACCT.index("TotalCPU")]
            assert (entry.max_rss_bytes is None) == (not fields[SACCT.index("MaxRSS")])


@pytest.mark.parametrize("version", VERSIONS)
def test_an_allocation_and_its_step(version: str) -> None:
    whole, batch = read(version, "array/end.sacct")[:2]
    assert (whole.step, batch.step) == ("", "batch")
    assert whole.state is SlurmState.COMPLETED
    assert (whole.num_nodes, whole.cpus, whole.cpu_time_s) == (1, 1, whole.elapsed_s)
    assert whole.max_rss_bytes is None
    assert whole.timelimit_s == 120
    assert whole.printed["name"] == whole.name == "array"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00.003", 0.003), ("02:03", 123.0), ("1:02:03", 3723.0), ("4-01:02:03", 349323.0),
        ("00:00:00", 0.0), ("", None), ("nonsense", None),
    ],
)  # fmt: skip
def test_cpu_times_of_every_length(text: str, seconds: float | None) -> None:
    assert columns.cpu_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4931584", 4931584), ("4816K", 4816 * KIB), ("1.5M", 1572864), ("0", 0), ("", None)],
)
def test_sizes_with_and_without_units(text: str, size: int | None) -> None:
    assert columns.size(text) == size


def test_the_question_names_all_ids_once_and_wants_bytes() -> None:
    argv = commands.sacct_usage([12, 15], 0.0)
    assert argv[-2:] == ["--jobs", "12,15"]
    assert "--noconvert" in argv
    assert "--allocations" not in argv
    assert argv[argv.index("--format") + 1].split(",")[0] == "JobIDRaw"


def test_a_name_may_hold_the_separator() -> None:
    (entry,) = usage.entries("7|RUNNING|0:0|N|N|N|5|UNLIMITED|None assigned|||00:00||debug|a|x|y\n")
    assert (entry.name, entry.nodes, entry.num_nodes, entry.cpus) == ("x|y", "", 0, 0)
    assert (entry.timelimit_s, entry.submit_time) == (None, None)
