"""Packing and unpacking: at every moment a log is a file, or in a bundle that was read back.

A bundle is written under another name, synced, read back, and named; files go only after that,
and only those that have not changed since. Killed anywhere, the same command goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.bundles.form import Bundle, Member, Writer, digest_of
from slurmtorc.bundles.places import FOLDER, bundle_path, bundles_in
from slurmtorc.disk import sync
from slurmtorc.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST = 50_000
"""Files of one bundle: its index is read whole to find one of them."""


@dataclass(slots=True)
class Packing:
    """What was done in one folder."""

    bundles: list[Path]
    packed: int = 0
    removed: int = 0
    changed: int = 0
    """Files that were written to after they had been packed, and stay."""
    raw_bytes: int = 0
    bytes: int = 0


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else packs or unpacks in this folder."""
    place = folder / FOLDER
    try:
        place.mkdir(exist_ok=True)
        lock = os.open(place / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _refused(place, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(f"another process packs or unpacks logs in {folder}; wait for it") from None
    finally:
        os.close(lock)


# ── packing ──────────────────────────────────────────────────────────────────


def pack(
    folder: Path, workflow_id: int, run_id: int, names: Sequence[str], *, remove: bool
) -> Packing:
    """Pack the logs of one run; with `remove`, files that are safe in a bundle go."""
    old = bundles_in(folder, workflow_id, run_id)
    done = Packing(bundles=[])
    fresh = set(names)
    for path in old:
        safe = _packed(folder, Bundle(path), fresh)
        fresh -= safe
        if remove and safe:
            _remove(folder, path, safe, done)
    for part, some in enumerate(_chunks(sorted(fresh)), start=_next_part(old)):
        path = bundle_path(folder, workflow_id, run_id, part)
        _write(folder, path, some, done)
        if remove:
            _remove(folder, path, some, done)
    return done


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), MOST):
        yield names[start : start + MOST]


def _next_part(bundles: Sequence[Path]) -> int:
    last = bundles[-1].name.removesuffix(".tar.gz").rpartition("_p")[2] if bundles else "0"
    return int(last) + 1


def _packed(folder: Path, bundle: Bundle, names: set[str]) -> set[str]:
    """Those of the files that are in a bundle as they are now."""
    return {
        name
        for name in names.intersection(bundle.members)
        if _unchanged(folder / name, bundle.members[name])
    }


def _unchanged(path: Path, member: Member) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    return (now.st_size, now.st_mtime_ns) == (member.size, member.mtime_ns)


def _write(folder: Path, path: Path, names: Sequence[str], done: Packing) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as out:
            writer = Writer(out)
            for name in names:
                writer.add(name, folder / name)
            writer.finish()
            out.flush()
            os.fsync(out.fileno())
        bundle = Bundle(part)
        bundle.verify()
        part.rename(path)
        sync(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    done.bundles.append(path)
    done.packed += len(names)
    done.raw_bytes += sum(one.size for one in bundle.members.values())
    done.bytes += path.stat().st_size


def _remove(folder: Path, path: Path, names: Sequence[str] | set[str], done: Packing) -> None:
    """Delete files that the bundle holds, once it has been read back."""
    bundle = Bundle(path)
    bundle.verify()
    for name in sorted(names):
        if _unchanged(folder / name, bundle.members[name]):
            (folder / name).unlink(missing_ok=True)
            done.removed += 1
        else:
            done.changed += 1


# ── unpacking ────────────────────────────────────────────────────────────────


def unpack(
    folder: Path, path: Path, *, remove: bool, newer: set[str] | None = None
) -> tuple[int, list[str]]:
    """Put the logs of a bundle back; how many, and which are there with something else in them.

    With `remove` the bundle goes, once all its logs are files again. `newer`: the names that
    newer parts held, which are left to them; this bundle's are added.
    """
    bundle, back, others = Bundle(path), 0, []
    newer = set() if newer is None else newer
    for member in bundle.members.values():
        target = folder / member.name
        if ".." in target.parts or folder not in target.parents:
            raise Conflict(f"{path} names {member.name}, which lies outside of {folder}")
        if member.name in newer:
            continue
        newer.add(member.name)
        if not target.exists():
            _put_back(bundle, member, target)
            back += 1
        elif digest_of(target.open("rb")) != member.digest:
            others.append(member.name)
    if remove and not others:
        for place in {(folder / name).parent for name in bundle.members}:
            sync(place)
        path.unlink()
    return back, others


def _put_back(bundle: Bundle, member: Member, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(member.name) as packed, part.open("wb") as out:
            while some := packed.read(1 << 20):
                out.write(some)
            out.flush()
            os.fsync(out.fileno())
        if digest_of(part.open("rb")) != member.digest:
            raise Conflict(f"{bundle.path} is damaged: {member.name} is not what was packed")
        part.chmod(member.mode)
        os.utime(part, ns=(member.mtime_ns, member.mtime_ns))
        part.rename(target)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        part.unlink(missing_ok=True)


# ── the file system ──────────────────────────────────────────────────────────


def _refused(path: Path, error: OSError) -> Conflict:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Conflict(f"{path}: the disk is full; make room and try again; no log was lost")
    return Conflict(f"{error.filename or path} cannot be used: {error.strerror}")
