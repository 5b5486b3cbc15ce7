"""Downloads of large files: resumed after interruptions, verified by checksum, unpacked atomically."""

import hashlib
import os
import shutil
import socket
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

BLOCK = 1 << 20  # bytes
TIMEOUT = 60.0  # seconds without data after which a connection counts as lost
WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each retry; received data resets the count of retries
PERMANENT_ERRORS = {400: "bad request", 401: "login required", 403: "forbidden", 404: "not found", 410: "gone"}  # HTTP codes without a retry


def download(url: str, path: str | Path, md5: str | None = None, sha256: str | None = None, waits: tuple[float, ...] = WAITS) -> Path:
    """Downloads `url` to `path`; an existing `path` with the right checksum is kept.

    Partial data is kept in `path`.part, from which a later call resumes (HTTP Range) if the server can. Lost connections are retried
    with growing pauses. A file with a wrong checksum is deleted and downloaded once more.
    UserError: no such file, no network, too many lost connections, wrong checksum twice.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if _verified(path, md5, sha256):
            log.info(f"{path} exists: skipping the download")
            return path
        log.warning(f"{path} does not have the published checksum: downloading it again")
        path.unlink()
    for attempt in (1, 2):
        _fetch(url, part, waits)
        if _verified(part, md5, sha256):
            os.replace(part, path)
            return path
        part.unlink()
        if attempt == 1:
            log.warning(f"{url}: wrong checksum: downloading it once more")
    raise UserError(f"{url}: wrong checksum twice, {md5 or sha256} was published: give another --mirror URL")


def check_disk(folder: str | Path, gigabytes: float) -> None:
    """UserError if the file system of `folder` has less than `gigabytes` (1e9 bytes) free."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise UserError(f"{folder} has {free:.1f} GB free, {gigabytes:.1f} GB are needed: free some space, or give another --download_dir")


def extract_archive(archive: str | Path, folder: str | Path, into: tuple[str, ...], mark: str | Path) -> None:
    """Unpacks a tar archive and moves its folder `into` to folder/into[-1] and the files beside that to `folder` (unless they exist).

    The archive is unpacked in a temporary folder and `mark` is written last, so that a marked folder is complete.
    UserError: folder/into[-1] exists; the archive is damaged, truncated, without `into`, or has a link or a path outside the folder.
    """
    archive, folder = Path(archive), Path(folder)
    target, temporary = folder / into[-1], folder / f".{into[-1]}.extracting"
    if target.exists():
        raise UserError(f"{target} exists, but may be incomplete: move it away and run the command again")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        unpack(archive, temporary)
        source = temporary.joinpath(*into)
        if not source.is_dir():
            raise UserError(f"{archive} has no folder {'/'.join(into)}, so it is the wrong archive: delete it and run the command again")
        for extra in sorted(source.parent.iterdir()):
            if extra.is_file() and not (folder / extra.name).exists():
                os.replace(extra, folder / extra.name)
        os.replace(source, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    with atomic_write(mark) as stream:
        stream.write(f"{archive.name}\n")


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar archive into `folder`. UserError: it is damaged, truncated, or has a link or a path outside the folder."""
    try:
        with tarfile.open(archive, "r|*") as tar, progress(desc=f"unpacking {archive.name}", unit="file", delay=2) as bar:
            for member in tar:
                _unpack_member(tar, member, archive, folder)
                bar.update()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is damaged or truncated ({error}): delete it and run the command again") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path, folder: Path) -> None:
    """Unpacks a folder or plain file inside `folder`; links are rejected, because a later member could follow them out of the folder."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise UserError(f"{archive} has the unsafe member {member.name!r} (a link or a path out of the folder): delete the archive")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # the member is a plain file
    with open(target, "wb") as stream:
        shutil.copyfileobj(content, stream, BLOCK)


def _fetch(url: str, part: Path, waits: tuple[float, ...]) -> None:
    """Downloads `url` to `part` until it is complete, with retries."""
    retries, received = 0, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _receive(url, part):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code in PERMANENT_ERRORS:
                raise UserError(f"{url}: {PERMANENT_ERRORS[error.code]} (HTTP {error.code}): check the name of the set and --mirror") from error
            reason = f"HTTP {error.code} {error.reason}"
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            if isinstance(getattr(error, "reason", None), socket.gaierror) and not received:
                raise UserError(f"{url} cannot be reached ({reason}): check the network and --mirror; {_advice(part)}") from error
        after = part.stat().st_size if part.exists() else 0
        if after > before:
            retries, received = 0, True
        if retries == len(waits):
            raise UserError(f"{url} cannot be downloaded ({reason}): check the network or give --mirror URL; {_advice(part)}")
        log.warning(f"{url}: {reason}; retrying in {waits[retries]} s")
        time.sleep(waits[retries])
        retries += 1


def _advice(part: Path) -> str:
    size = part.stat().st_size if part.exists() else 0
    return f"the same command resumes from the {size / 1e6:.1f} MB in {part}" if size else "nothing was received"


def _receive(url: str, part: Path) -> bool:
    """Appends the data of one connection to `part`; True if the file is complete."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # no data after the end of `part`: `Content-Range: bytes */TOTAL` tells whether it is complete
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return True
        part.unlink()
        return False
    with response:
        if response.status != 206 and have:
            log.info(f"{url}: the server cannot resume: downloading from the beginning")
            have = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with (
            open(part, "ab" if have else "wb") as stream,
            progress(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, delay=2) as bar,
        ):
            while block := response.read(BLOCK):
                stream.write(block)
                bar.update(len(block))
            return total is None or stream.tell() >= total


def _verified(path: Path, md5: str | None, sha256: str | None) -> bool:
    """Whether the file has the given checksums; those that are None are not checked."""
    return all(digest(path, name) == wanted for name, wanted in (("md5", md5), ("sha256", sha256)) if wanted is not None)


def digest(path: Path, name: str) -> str:
    """The hexadecimal digest ("md5", "sha256") of a file's content."""
    found = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as stream, progress(desc=f"checksum of {path.name}", total=path.stat().st_size, unit="B", unit_scale=True, delay=2) as bar:
        while block := stream.read(BLOCK):
            found.update(block)
            bar.update(len(block))
    return found.hexdigest()
