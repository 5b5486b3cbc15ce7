"""A model as one file: a zip archive in the layout of an experiment, with what inference needs and nothing else.

manifest.json: format, kind (ctc, espnet, upstream), framework, SHA-256 of every file. config.yaml, tokens.txt, weights as safetensors (or a
MindIR or ONNX graph), search.yaml and lm/ (settings of the searches, language model), RESULTS.md, provenance.json, LICENCE.txt. Nothing is pickled,
and no path leads out of the archive.
"""

import hashlib
import json
import re
import stat
import zipfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

PACKED = ".zip"
MANIFEST, FORMAT = "manifest.json", 1
PLACE = re.compile(r"(?<![\w.:/])/(?:[\w.+@=~-]+/)+(?=[\w.+@=~-])|(?<![\w.:/])~/(?:[\w.+@=~-]+/)*")  # the folders of an absolute path
BLOCK = 1 << 20


def write_package(out: Path, facts: dict, files: dict[str, Path | bytes]) -> None:
    """Writes the archive. facts: for the manifest; files: name in the archive -> a file or its content."""
    with atomic_write(out, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        digests = {}
        for name, content in files.items():
            method = zipfile.ZIP_STORED if PurePosixPath(name).suffix in (".safetensors", ".onnx", ".mindir") else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(name)  # without time and owner: the same model gives the same bytes
            info.compress_type, info.external_attr = method, 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as target:
                digests[name] = _copy(content, target)
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps({"format": FORMAT, **facts, "files": digests}, indent=1))


def unpacked(path: Path) -> TemporaryDirectory:
    """The files of an archive in a temporary folder, each compared with its digest.

    UserError: no archive of asrlib pack, a damaged one, one of a later format, or one with names that lead out of the folder.
    """
    folder = TemporaryDirectory(prefix="asrlib-")
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive, path)
            for info in archive.infolist():
                if info.filename != MANIFEST:
                    _unpack(archive, info, Path(folder.name), manifest["files"], path)
            if missing := manifest["files"].keys() - set(archive.namelist()):
                raise UserError(f"{path}: {min(missing)} is missing in it: pack the model again")
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        folder.cleanup()
        raise UserError(f"{path}: not an archive of asrlib pack, or damaged ({str(error).splitlines()[0]}): copy it again") from None
    except UserError:
        folder.cleanup()
        raise
    return folder


def without_places(text: str) -> str:
    """The text with the last name of every absolute path in place of the path."""
    return PLACE.sub("", text)


def read_manifest(path: Path) -> dict:
    """The manifest of an archive. UserError: as unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _manifest(archive, path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: not an archive of asrlib pack, or damaged ({str(error).splitlines()[0]}): copy it again") from None


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict:
    try:
        manifest = json.loads(archive.read(MANIFEST))
        known, names = manifest["format"], manifest["files"]
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{path}: not an archive of asrlib pack: it has no {MANIFEST}") from None
    if known != FORMAT or not isinstance(names, dict):
        raise UserError(f"{path}: packed in format {known}, this version reads {FORMAT}: install the version that wrote it")
    return manifest


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, digests: dict[str, str], path: Path) -> None:
    name = PurePosixPath(info.filename)
    outside = name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in info.filename or info.filename != str(name)
    if outside or stat.S_ISLNK(info.external_attr >> 16) or info.filename not in digests:
        raise UserError(f"{path}: {info.filename!r} is no file of a packed model: do not use this archive")
    target = folder.joinpath(*name.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, open(target, "xb") as stream:
        digest = hashlib.sha256()
        while block := source.read(BLOCK):
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != digests[info.filename]:
        raise UserError(f"{path}: {info.filename} is not what was packed: copy the archive again")


def _copy(content: Path | bytes, target) -> str:
    """Writes a file's content; its SHA-256."""
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
        target.write(content)
        return digest.hexdigest()
    with open(content, "rb") as source:
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()
