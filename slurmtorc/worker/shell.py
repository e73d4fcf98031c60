"""Whether a command needs a shell: a shell costs more than everything else about a short job.

A command made only of words is executed as it stands. Anything bash would do something about
(variables, globs, pipes, redirections, assignments, builtins) goes to `bash -c`. When in doubt
it is bash; the two ways must never differ in what the command does.
"""

from __future__ import annotations

import re
import shlex
import shutil
from functools import lru_cache

# Possessive throughout: what has been read is never read again in another way. Without that the
# time to refuse a long command doubles with each of its characters.
_PLAIN = r"[A-Za-z0-9_@%+:,./=-]++"
_WORD = rf"(?:{_PLAIN}|'[^'\n]*+'|\"[^\"$`\\!\n]*+\")++"
_WORDS = re.compile(rf"[ \t]*+{_WORD}(?:[ \t]++{_WORD})*+[ \t]*+", re.ASCII)

_BASH_ONLY = frozenset(
    """
    . : [[ alias bg bind break builtin caller case cd command compgen complete compopt
    continue coproc declare dirs disown do done elif else enable esac eval exec exit export
    fc fg fi for function getopts hash help history if in jobs kill let local logout mapfile
    popd printf pushd pwd read readarray readonly return select set shift shopt source
    suspend test then time times trap type typeset ulimit umask unalias unset until wait
    while
    """.split()  # noqa: SIM905  words, as one reads them
)
"""Builtins and keywords that no program of the same name replaces faithfully."""


@lru_cache(maxsize=4096)
def words(command: str) -> tuple[str, ...] | None:
    """The command's words, if it needs no shell; None if it does."""
    if not _WORDS.fullmatch(command):
        return None
    split = tuple(shlex.split(command))
    if not split or not split[0] or "=" in split[0] or split[0] in _BASH_ONLY:
        return None
    return split


@lru_cache(maxsize=4096)
def program(name: str, search_path: str | None) -> str | None:
    """The file a command name stands for, as bash would find it; None if there is none."""
    return name if "/" in name else shutil.which(name, path=search_path)
