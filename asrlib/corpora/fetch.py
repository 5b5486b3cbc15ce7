"""Large files over an unreliable network: resumed, verified by checksum, unpacked whole or not at all."""

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
TIMEOUT = 60.0  # seconds without a byte before a connection counts as lost
WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each new try; a connection that brought bytes starts the row anew
HOPELESS = {400: "bad request", 401: "login wanted", 403: "forbidden", 404: "not found", 410: "gone"}  # HTTP codes that a new try will not change


def download(url: str, path: str | Path, md5: str | None = None, sha256: str | None = None, waits: tuple[float, ...] = WAITS) -> Path:
    """Fetches `url` to `path`; a `path` that is there with the right checksum is kept.

    What has come so far lies in `path`.part, and a later call goes on from its end (HTTP Range) if the server can. Lost connections are tried
    again with growing pauses. A file whose checksum is wrong is deleted and fetched once more.
    UserError: no such file, no network, connections lost too often, wrong checksum twice.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if _sound(path, md5, sha256):
            log.info(f"{path} is there already")
            return path
        log.warning(f"{path} does not have the published checksum: fetched again")
        path.unlink()
    for attempt in (1, 2):
        _fetch(url, part, waits)
        if _sound(part, md5, sha256):
            os.replace(part, path)
            return path
        part.unlink()
        if attempt == 1:
            log.warning(f"{url} arrived corrupt (its checksum is wrong): fetched once more")
    raise UserError(f"{url} arrived corrupt twice: its checksum is not the published {md5 or sha256}; try --mirror URL")


def check_disk(folder: str | Path, gigabytes: float) -> None:
    """UserError if the file system of `folder` has less than `gigabytes` (1e9 bytes) free."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise UserError(f"{folder} has {free:.1f} GB free and {gigabytes:.1f} GB are needed: free some, or choose another --download_dir")


def extract_archive(archive: str | Path, folder: str | Path, into: tuple[str, ...], mark: str | Path) -> None:
    """Unpacks a tar archive and moves what lies in its folder `into` to folder/into[-1], files beside that to `folder` (unless there).

    It is unpacked under a temporary name first and `mark` is written last, so that a marked folder is whole.
    UserError: folder/into[-1] is there; the archive is damaged, cut, without `into`, or has a link or a member that would leave the folder.
    """
    archive, folder = Path(archive), Path(folder)
    target, temporary = folder / into[-1], folder / f".{into[-1]}.extracting"
    if target.exists():
        raise UserError(f"{target} is there already and not known to be whole: move it away, and run again")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        unpack(archive, temporary)
        source = temporary.joinpath(*into)
        if not source.is_dir():
            raise UserError(f"{archive} has no folder {'/'.join(into)}: it is another archive than its name says; delete it and fetch it again")
        for extra in sorted(source.parent.iterdir()):
            if extra.is_file() and not (folder / extra.name).exists():
                os.replace(extra, folder / extra.name)
        os.replace(source, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    with atomic_write(mark) as stream:
        stream.write(f"{archive.name}\n")


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar archive into `folder`. UserError: damaged, cut, or with a link or a member that would leave the folder."""
    try:
        with tarfile.open(archive, "r|*") as tar, progress(desc=f"unpacking {archive.name}", unit="file", delay=2) as bar:
            for member in tar:
                _unpack_member(tar, member, archive, folder)
                bar.update()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is damaged or cut ({error}): delete it and run again to fetch it anew") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path, folder: Path) -> None:
    """Folders and plain files inside `folder` only: corpora need no links, and without them no member can lead another astray."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
        raise UserError(f"{archive} has the member {member.name!r}, a link or a path out of the folder: do not trust it; nothing was kept")
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
    """Brings `part` to the full length of `url`, over as many connections as it takes."""
    tries, arrived = 0, False
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _receive(url, part):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code in HOPELESS:
                raise UserError(f"{url}: {HOPELESS[error.code]} (HTTP {error.code}): check the name of the set and --mirror") from error
            reason = f"HTTP {error.code} {error.reason}"
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            if isinstance(getattr(error, "reason", None), socket.gaierror) and not arrived:
                raise UserError(f"{url} cannot be reached ({reason}): no network here, or a mistake in --mirror; {_advice(part)}") from error
        after = part.stat().st_size if part.exists() else 0
        if after > before:
            tries, arrived = 0, True
        if tries == len(waits):
            raise UserError(f"{url} cannot be fetched ({reason}): check the network or give --mirror URL; {_advice(part)}")
        log.warning(f"{url}: {reason}; next try in {waits[tries]} s")
        time.sleep(waits[tries])
        tries += 1


def _advice(part: Path) -> str:
    size = part.stat().st_size if part.exists() else 0
    return f"the {size / 1e6:.1f} MB in {part} are kept, and the same command goes on from there" if size else "nothing has come yet"


def _receive(url: str, part: Path) -> bool:
    """One connection: appends to `part` from its end on; True if the file is complete."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # nothing after what we have: `Content-Range: bytes */TOTAL` says whether that is all of it
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return True
        part.unlink()
        return False
    with response:
        if response.status != 206 and have:
            log.info(f"{url}: the server cannot resume; it starts from the beginning")
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


def _sound(path: Path, md5: str | None, sha256: str | None) -> bool:
    """Whether the file has the given checksums (those that are None are not looked at)."""
    return all(digest(path, name) == wanted for name, wanted in (("md5", md5), ("sha256", sha256)) if wanted is not None)


def digest(path: Path, name: str) -> str:
    """The hexadecimal digest ("md5", "sha256") of a file's content."""
    found = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as stream, progress(desc=f"checksum of {path.name}", total=path.stat().st_size, unit="B", unit_scale=True, delay=2) as bar:
        while block := stream.read(BLOCK):
            found.update(block)
            bar.update(len(block))
    return found.hexdigest()
