"""Runs one command and writes what it used: `python -I -S usage.py ANSWER COMMAND...`.

A program of its own, because a process is born with the memory peak of the one that starts it:
this one imports next to nothing. Seconds, CPU seconds and the peak of the largest process, with
all that the command started and waited for.
"""

import os
import sys
import time


def main(answer: str, *command: str) -> int:
    """Run it; its exit status."""
    begun = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    with open(answer, "w", encoding="ascii") as file:  # noqa: PTH123  pathlib is not small
        file.write(f"{seconds} {used.ru_utime + used.ru_stime} {used.ru_maxrss / 1024}")
    return os.waitstatus_to_exitcode(status) % 256


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
