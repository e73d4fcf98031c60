"""Parsl: bash apps on two threads; JOBS FOLDER."""

import sys

import parsl
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor


@parsl.bash_app  # type: ignore[untyped-decorator]
def nothing(stdout: str, stderr: str) -> str:  # noqa: ARG001  parsl reads their names
    """What each job does."""
    return "true"


def main(jobs: int, folder: str) -> None:
    """Submit all, and wait."""
    threads = ThreadPoolExecutor(max_threads=2)
    with parsl.load(Config(executors=[threads], run_dir=f"{folder}/run", usage_tracking=0)):
        waiting = [nothing(stdout=f"{folder}/{i}.o", stderr=f"{folder}/{i}.e") for i in range(jobs)]
        for one in waiting:
            one.result()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
