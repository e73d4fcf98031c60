"""HyperQueue: a server and one worker of two CPUs in this process; JOBS FOLDER."""

import sys

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main(jobs: int, folder: str) -> None:
    """Submit all as one job of many tasks, and wait."""
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        client = cluster.client()
        job = Job()
        for i in range(jobs):
            job.program(["true"], stdout=f"{folder}/{i}.o", stderr=f"{folder}/{i}.e")
        client.wait_for_jobs([client.submit(job)])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
