"""The same as spawn.c, where there is no compiler: spawn.py JOBS AT_ONCE FOLDER PROGRAM..."""

import os
import sys

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def main(jobs: int, at_once: int, folder: str, command: list[str]) -> int:
    """Start and reap; 1 if a process failed."""
    for i in range(jobs + at_once):
        if i >= at_once and os.wait()[1]:
            return 1
        if i < jobs:
            files = [
                (os.POSIX_SPAWN_OPEN, fd, f"{folder}/{i}.{suffix}", FLAGS, 0o644)
                for fd, suffix in ((1, "o"), (2, "e"))
            ]
            os.posix_spawn(command[0], command, os.environ, file_actions=files)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
