"""The form of a bundle: a tar in gzip, as any tar unpacks it, in which one file is found at once.

The tar is compressed in blocks, each a gzip member of its own. The last member of the tar is an
index: of each file its place and its SHA-256, and where each block begins. An empty gzip member
ends the bundle; its extra field says where the index is. gzip, and not a better compressor,
because every Python and every tar reads it, on login nodes and on compute nodes.

What must never happen here: bytes are called packed that were not read back and compared.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
import tarfile
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from slurmtorc.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 1 << 20
INDEX = "torc-bundle-index.json"
_FORM = 1
_HEAD = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", 12) + b"TB" + b"\x08\x00"
_TAIL = b"\x03\x00" + bytes(8)
"""An empty gzip member around the eight bytes of the index's place."""
_END = len(_HEAD) + 8 + len(_TAIL)


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a bundle."""

    name: str
    """From the folder that was packed."""
    size: int
    mtime_ns: int
    mode: int
    start: int
    """Where its bytes begin in the tar."""
    digest: str


# ── writing ──────────────────────────────────────────────────────────────────


class Writer:
    """Writes one bundle."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._pending = bytearray()
        self._written = 0
        self._blocks: list[tuple[int, int]] = []
        self._members: list[Member] = []

    def add(self, name: str, path: Path) -> None:
        """Pack one file. Raises Conflict if it becomes shorter meanwhile."""
        with path.open("rb") as file:
            known = os.fstat(file.fileno())
            self._write(_header(name, known))
            start, digest, left = self._place, hashlib.sha256(), known.st_size
            while left:
                some = file.read(min(left, BLOCK))
                if not some:
                    raise Conflict(f"{path} became shorter while it was packed; who writes there?")
                digest.update(some)
                self._write(some)
                left -= len(some)
        self._write(bytes(-known.st_size % tarfile.BLOCKSIZE))
        kept = (known.st_size, known.st_mtime_ns, known.st_mode & 0o777)
        self._members.append(Member(name, *kept, start, digest.hexdigest()))

    @property
    def _place(self) -> int:
        return self._written + len(self._pending)

    def _write(self, some: bytes) -> None:
        self._pending += some
        if len(self._pending) >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._blocks.append((self._out.tell(), self._written))
        self._out.write(gzip.compress(bytes(self._pending), 6, mtime=0))
        self._written += len(self._pending)
        self._pending.clear()

    def finish(self) -> None:
        """Write the index, and the end."""
        self._flush()
        place = self._out.tell()
        members = [[getattr(one, name) for name in Member.__slots__] for one in self._members]
        index = {"form": _FORM, "blocks": self._blocks, "members": members}
        text = json.dumps(index, separators=(",", ":")).encode()
        info = tarfile.TarInfo(INDEX)
        info.size = len(text)
        padding = bytes(-len(text) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
        self._out.write(gzip.compress(info.tobuf() + text + padding, 6, mtime=0))
        self._out.write(_HEAD + struct.pack("<Q", place) + _TAIL)


def _header(name: str, known: os.stat_result) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = known.st_size, int(known.st_mtime)
    info.mode, info.uid, info.gid = known.st_mode & 0o777, known.st_uid, known.st_gid
    return info.tobuf(tarfile.PAX_FORMAT)


# ── reading ──────────────────────────────────────────────────────────────────


class Bundle:
    """Reads one bundle. Raises Conflict where it is not one, or is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._index_at, index = _index(path)
            self._blocks: list[tuple[int, int]] = [(at, raw) for at, raw in index["blocks"]]
            self.members = {one.name: one for one in (Member(*kept) for kept in index["members"])}
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            zlib.error,
            struct.error,
        ) as why:
            raise Conflict(f"{path} is no bundle of logs, or is damaged: {why}") from why

    def open(self, name: str) -> IO[bytes]:
        """The bytes of one file."""
        return io.BufferedReader(_Bytes(self._pieces(self.members[name])), BLOCK)

    def _pieces(self, member: Member) -> Iterator[bytes]:
        at, end = member.start, member.start + member.size
        number = bisect_right(self._blocks, at, key=lambda block: block[1]) - 1
        while at < end:
            begins, raw = self._block(number)
            piece = raw[at - begins : end - begins]
            if not piece:
                raise Conflict(f"{self.path} is damaged: a block of it is too short")
            yield piece
            at, number = at + len(piece), number + 1

    def _block(self, number: int) -> tuple[int, bytes]:
        """Where a block begins in the tar, and what is in it."""
        at, begins = self._blocks[number]
        after = self._blocks[number + 1][0] if number + 1 < len(self._blocks) else self._index_at
        try:
            with self.path.open("rb") as file:
                file.seek(at)
                return begins, gzip.decompress(file.read(after - at))
        except (OSError, EOFError, zlib.error) as error:
            raise Conflict(f"{self.path} is damaged: {error}") from error

    def verify(self) -> None:
        """Read everything back. Raises Conflict where it is not what was packed."""
        for member in self.members.values():
            if digest_of(self.open(member.name)) != member.digest:
                raise Conflict(f"{self.path} is damaged: {member.name} is not what was packed")


class _Bytes(io.RawIOBase):
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as io calls it
        """Some of what is left."""
        self._left = self._left or next(self._pieces, b"")
        some, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(some)] = some
        return len(some)


def digest_of(file: IO[bytes]) -> str:
    """The SHA-256 of a stream, which is closed."""
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # reads


def _index(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the index of a bundle is, and what it says."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END))
        end = file.read()
        if not (end.startswith(_HEAD) and end.endswith(_TAIL)):
            raise ValueError("its end is not that of one")
        (place,) = struct.unpack_from("<Q", end, len(_HEAD))
        file.seek(place)
        raw = gzip.decompress(file.read(size - _END - place))
    length = tarfile.TarInfo.frombuf(raw[: tarfile.BLOCKSIZE], "utf-8", "strict").size
    index: dict[str, Any] = json.loads(raw[tarfile.BLOCKSIZE :][:length])
    return place, index
