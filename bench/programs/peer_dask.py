"""Dask: two worker processes that start programs; JOBS FOLDER."""

import subprocess
import sys
from pathlib import Path

from distributed import Client, LocalCluster


def nothing(i: int, folder: str) -> int:
    """What each job does."""
    with Path(f"{folder}/{i}.o").open("wb") as out, Path(f"{folder}/{i}.e").open("wb") as err:
        return subprocess.run(["true"], check=True, stdout=out, stderr=err).returncode


def main(jobs: int, folder: str) -> None:
    """Submit all, and wait."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
            local_directory=f"{folder}/work",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.gather(client.map(nothing, range(jobs), folder=folder))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
