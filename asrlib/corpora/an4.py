"""CMU AN4, the "census" database (Acero 1990): download, and Kaldi directories from its folders.

Layout: an4/etc/an4_{train,test}.{transcription,fileids} and an4/wav/an4_clstk/SPEAKER/UTTERANCE.sph, an4/wav/an4test_clstk for the test set. Other
distributions have wav, flac or raw files (16 kHz, 16 bit, either byte order); raw files are copied as wav to DATA_DIR/wav/SET.

Sets as in ESPnet's recipe: dev is the first 100 training utterances by speaker (train_dev), train the other 848 (train_nodev). Utterance ids are
SPEAKER-UTTERANCE. The numbers of utterances, speakers and words are checked if all speakers are there (check_counts "auto"), always ("true") or never
("false").
"""

import os
import re
from argparse import Namespace
from pathlib import Path

import numpy as np

from asrlib.corpora import fetch
from asrlib.corpora.audio import write_wav
from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_table import Table
from asrlib.corpora.kaldi_validate import Rules
from asrlib.utils.errors import UserError
from asrlib.utils.files import file_name
from asrlib.utils.log import get_logger

log = get_logger(__name__)

URL = "http://www.speech.cs.cmu.edu/databases/an4"
ARCHIVE, GIGABYTES = "an4_sphere.tar.gz", 0.07
RATE = 16000
COUNTS = {"train": (948, 74, 5442), "test": (130, 10, 773)}  # utterances, speakers, words
DEV = 100  # utterances
SUFFIXES = (".sph", ".wav", ".flac", ".raw")
LINE = re.compile(r"(?:<s>)?\s*(?P<words>.*?)\s*(?:</s>)?\s*\((?P<utt>[^()\s]+)\)")


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `download`."""
    download(download_dir, options.mirror or URL, options.remove_archive)


def prepare_data(corpus_dir: Path, options: Namespace) -> dict[str, Repair]:
    """train, dev and test (asrlib.corpora.registry). UserError: as `prepare`; a fault in a set, without options.fix."""
    wav = Path(options.data_dir) / "wav"
    whole, test = (prepare(corpus_dir, name, options.check_counts, wav / name) for name in COUNTS)
    dev = set(sorted(whole["wav.scp"].rows)[:DEV])
    train = {name: _part(table, lambda utt: utt not in dev) for name, table in whole.items()}
    sets = {"train": train, "dev": {name: _part(table, dev.__contains__) for name, table in whole.items()}, "test": test}
    return {name: accept(corpus_dir, tables, Rules(audio=options.audio, keep_all=name == "test"), options.fix) for name, tables in sets.items()}


def _part(table: Table, chosen) -> Table:
    return Table(table.path, {utt: value for utt, value in table.rows.items() if chosen(utt)})


def download(download_dir: str | Path, mirror: str = URL, remove_archive: bool = False) -> Path:
    """Downloads and unpacks the corpus to download_dir/an4, which is returned; resumes an interrupted download.

    CMU publishes no checksum: `prepare` counts what was unpacked. UserError: no network, not enough disk space, a damaged or unsafe archive.
    """
    download_dir = Path(download_dir)
    corpus, mark = download_dir / "an4", download_dir / ".an4.complete"
    if mark.exists():
        log.info("%s is complete: skipping the download", corpus)
        return corpus
    fetch.check_disk(download_dir, 3 * GIGABYTES)
    archive = fetch.download(f"{mirror.rstrip('/')}/{ARCHIVE}", download_dir / ARCHIVE)
    fetch.extract_archive(archive, download_dir, into=("an4",), mark=mark)
    if remove_archive:
        archive.unlink()
    return corpus


def prepare(corpus_dir: str | Path, name: str, check_counts: str = "auto", converted: Path | None = None) -> dict[str, Table]:
    """Tables of train (948 utterances) or test: wav.scp (absolute paths), text (upper case), utt2spk.

    converted: folder for raw files as wav. UserError: no transcripts, an utterance without audio or listed twice, unexpected numbers.
    """
    corpus = Path(corpus_dir)
    transcription, fileids = (corpus / "etc" / f"an4_{name}.{kind}" for kind in ("transcription", "fileids"))
    for path in (transcription, fileids):
        if not path.is_file():
            raise UserError(f"{path} is missing: give the folder an4, with etc and wav in it, as --corpus_dir")
    texts, tables = _transcripts(transcription), {file: Table(transcription) for file in ("wav.scp", "text", "utt2spk")}
    for number, line in enumerate(fileids.read_text(encoding="utf-8").split(), 1):
        *_, speaker, utterance = ("", *line.split("/"))
        where = f"{fileids}:{number}"
        if utterance not in texts or not speaker or file_name(utterance) != utterance or file_name(speaker) != speaker:
            raise UserError(f"{where}: {line!r} is no SET/SPEAKER/UTTERANCE with a line in {transcription.name}: correct one of the two files")
        utt = f"{speaker}-{utterance}"
        if utt in tables["text"].rows:
            raise UserError(f"{where}: utterance {utterance} is listed twice: remove one of the two lines")
        tables["wav.scp"].rows[utt] = str(_audio(corpus / "wav" / Path(*line.split("/")).parent, utterance, where, converted))
        tables["text"].rows[utt], tables["utt2spk"].rows[utt] = texts[utterance], speaker
    for table in tables.values():
        table.rows = dict(sorted(table.rows.items()))
    _check_counts(transcription, name, tables, check_counts)
    return tables


def _transcripts(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = LINE.fullmatch(line.strip())
        if not found or found["utt"] in texts:
            what = f"utterance {found['utt']} has two lines" if found else "expected 'WORDS (UTTERANCE)'"
            raise UserError(f"{path}:{number}: {what}: correct the file")
        texts[found["utt"]] = " ".join(found["words"].upper().split())
    return texts


def _audio(folder: Path, utterance: str, where: str, converted: Path | None) -> Path:
    """The file of an utterance, in any of the distributions' formats."""
    if ".." in folder.parts:
        raise UserError(f"{where}: a path outside the corpus: correct the line")
    found = next((path for suffix in SUFFIXES if (path := folder / f"{utterance}{suffix}").is_file()), None)
    if found is None:
        raise UserError(f"{where}: {folder}/{utterance}.* is missing ({', '.join(SUFFIXES)}): unpack the archive again")
    if found.suffix != ".raw":
        return Path(os.path.abspath(found))
    if converted is None:
        raise UserError(f"{found}: raw samples need a folder for copies as wav")
    return _converted(found, converted / f"{utterance}.wav")


def _converted(raw: Path, wav: Path) -> Path:
    """A copy of raw samples as wav. The byte order is the one in which neighbouring samples differ less. UserError: no samples, or half a one."""
    size = raw.stat().st_size
    if not size or size % 2:
        raise UserError(f"{raw}: {size} bytes are no samples of 16 bits, the file is truncated: unpack the archive again")
    samples = [np.fromfile(raw, dtype=order).astype(np.float32) / 32768 for order in ("<i2", ">i2")]
    wav.parent.mkdir(parents=True, exist_ok=True)
    write_wav(wav, min(samples, key=lambda values: float(np.abs(np.diff(values)).mean()) if len(values) > 1 else 0.0), RATE)
    return Path(os.path.abspath(wav))


def _check_counts(path: Path, name: str, tables: dict[str, Table], check_counts: str) -> None:
    texts, speakers = tables["text"].rows, set(tables["utt2spk"].rows.values())
    found, expected = (len(texts), len(speakers), sum(len(text.split()) for text in texts.values())), COUNTS[name]
    shown = [f"{n[0]} utterances of {n[1]} speakers with {n[2]} words" for n in (found, expected)]
    if check_counts == "false" or (check_counts == "auto" and found[1] < expected[1]):
        log.info("%s: %s, a part of AN4 (%s)", name, *shown)
    elif found != expected:
        remedy = "unpack the archive again, or give --check_counts false for a part of it"
        raise UserError(f"{path} has {shown[0]}, AN4 has {shown[1]}: {remedy}")
