"""The same as spawn.c, where there is no compiler: spawn.py JOBS AT_ONCE WORK FOLDER PROGRAM..."""

import os
import sys
import time

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def main(jobs: int, at_once: int, work_us: int, folder: str, command: list[str]) -> int:
    """Start, work and reap; 1 if a process failed."""
    for i in range(jobs + at_once):
        if i >= at_once and os.wait()[1]:
            return 1
        if i < jobs:
            files = [
                (os.POSIX_SPAWN_OPEN, fd, f"{folder}/{i}.{suffix}", FLAGS, 0o644)
                for fd, suffix in ((1, "o"), (2, "e"))
            ]
            os.posix_spawn(command[0], command, os.environ, file_actions=files)
            end = time.process_time() + work_us / 1e6
            while time.process_time() < end:
                pass
    return 0


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:4]]
    sys.exit(main(numbers[0], numbers[1], numbers[2], sys.argv[4], sys.argv[5:]))
