"""AISHELL-1 (Bu et al. 2017, https://www.openslr.org/33): download, and Kaldi directories from its folders.

Layout: data_aishell/wav/SET/SPEAKER/BAC009SPEAKERWNNNN.wav and data_aishell/transcript/aishell_transcript_v0.8.txt with lines
`utterance characters`. The archive contains an archive for every speaker; both levels are unpacked. A few hundred recordings have no
transcript; they are counted and skipped, as in Kaldi's recipe.

Speakers are named BAC009SNNNN, so that utterance ids begin with the speaker; transcripts are written without spaces. The number of
utterances of a set is checked if the set has all speakers of the corpus or our download marked it as complete (check_counts "auto"),
always ("true") or never ("false").
"""

import os
import re
import shutil
from argparse import Namespace
from pathlib import Path

from asrlib.corpora import fetch
from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_table import Problem, Table, read_table
from asrlib.corpora.kaldi_validate import Rules
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

URL = "https://www.openslr.org/resources/33"
ARCHIVE, MD5, GIGABYTES = "data_aishell.tgz", "2f494334227864a8a8fec932999db9d8", 15.6
HOURS = 178.0  # SLR33
UTTERANCES = {"train": 120098, "dev": 14326, "test": 7176}
SPEAKERS = {"train": 340, "dev": 40, "test": 20}
TRANSCRIPT = Path("transcript") / "aishell_transcript_v0.8.txt"
NAME = re.compile(r"^(BAC009(S\d{4}))W\d{4}$")


def hours(source: Path) -> float:
    """The published hours of the corpus, whose audio is in data_aishell/wav; 0 for other folders."""
    return HOURS if source.name == "wav" else 0.0


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `download`."""
    download(download_dir, options.mirror or URL, options.remove_archive)


def prepare_data(corpus_dir: Path, options: Namespace) -> dict[str, Repair]:
    """train, dev and test (asrlib.corpora.registry). UserError: as `prepare`; a fault in a set, without options.fix."""
    rules, wav = {name: Rules(audio=options.audio, keep_all=name == "test") for name in UTTERANCES}, corpus_dir / "wav"
    return {name: accept(wav / name, prepare(corpus_dir, name, options.check_counts), rules[name], options.fix) for name in UTTERANCES}


def download(download_dir: str | Path, mirror: str = URL, remove_archive: bool = False) -> Path:
    """Downloads and unpacks the corpus to download_dir/data_aishell, which is returned; resumes an interrupted download or unpacking.

    UserError: an incomplete folder of that name, no network, not enough disk space, wrong checksum twice, an unsafe archive.
    """
    download_dir = Path(download_dir)
    corpus, unpacked = download_dir / "data_aishell", download_dir / ".data_aishell.unpacked"
    if _mark(corpus).exists():
        log.info(f"{corpus} is complete: skipping the download")
        return corpus
    if not unpacked.exists():
        downloaded = sum(path.stat().st_size / 1e9 for path in download_dir.glob(f"{ARCHIVE}*"))
        fetch.check_disk(download_dir, 3 * GIGABYTES - downloaded)  # space for the archive, the speakers' archives and the recordings
        archive = fetch.download(f"{mirror.rstrip('/')}/{ARCHIVE}", download_dir / ARCHIVE, md5=MD5)
        fetch.extract_archive(archive, download_dir, into=("data_aishell",), mark=unpacked)
    for archive in progress(sorted((corpus / "wav").glob("*.tar.gz")), desc="speakers of AISHELL-1", unit="speaker"):
        _unpack_speaker(archive, corpus / "wav")
    _mark(corpus).write_text("complete\n")
    unpacked.unlink()
    if remove_archive:
        (download_dir / ARCHIVE).unlink(missing_ok=True)
    return corpus


def _unpack_speaker(archive: Path, wav: Path) -> None:
    """Unpacks SET/SPEAKER/*.wav of one archive to a temporary folder, moves them to `wav` and deletes the archive."""
    temporary = wav / ".unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    fetch.unpack(archive, temporary)
    for folder in sorted(temporary.glob("*/*")):
        target = wav / folder.relative_to(temporary)
        target.parent.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)  # left by an interrupted run
        os.replace(folder, target)
    shutil.rmtree(temporary)
    archive.unlink()


def prepare(corpus_dir: str | Path, name: str, check_counts: str = "auto") -> dict[str, Table]:
    """Tables of one set, train, dev or test: wav.scp (absolute paths), text, utt2spk.

    Misnamed files are Problems of the tables. UserError: no such set or folder, no transcripts, an unexpected number of utterances.
    """
    if name not in UTTERANCES:
        raise UserError(f"AISHELL-1 has no set {name!r}: choose one of {', '.join(UTTERANCES)}")
    corpus, folder = Path(corpus_dir), Path(corpus_dir) / "wav" / name
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: download the corpus, or give the folder data_aishell as --corpus_dir")
    texts = _transcripts(corpus / TRANSCRIPT)
    tables = {file: Table(folder / file) for file in ("wav.scp", "text", "utt2spk")}
    without = [utt for utt in _add_audio(tables, folder) if utt not in texts]
    for utt in without:
        del tables["wav.scp"].rows[utt], tables["utt2spk"].rows[utt]
    if without:
        log.warning(f"{name}: skipped {len(without)} recordings without a transcript, the first is {without[0]}")
    if not tables["wav.scp"].rows:
        raise UserError(f"{folder} has no SPEAKER/*.wav with a transcript: give the folder data_aishell as --corpus_dir")
    tables["text"].rows = {utt: texts[utt] for utt in tables["wav.scp"].rows}
    _check_count(corpus, name, tables, check_counts)
    return tables


def _transcripts(path: Path) -> dict[str, str]:
    if not path.exists():
        raise UserError(f"{path} is missing: give the folder data_aishell, with wav and transcript in it, as --corpus_dir")
    table = read_table(path)
    if table.problems:
        raise UserError(f"{table.problems[0]}")
    return {utt: text.replace(" ", "") for utt, text in table.rows.items()}


def _add_audio(tables: dict[str, Table], folder: Path) -> list[str]:
    """Fills wav.scp and utt2spk, sorted; returns the utterance ids."""
    wav, found = tables["wav.scp"], {}
    for path in sorted(folder.glob("*/*.wav")):
        match = NAME.match(path.stem)
        if not match or match[2] != path.parent.name:
            what, remedy = "audio file in the wrong folder", "move or remove it"
            wav.problems.append(Problem(path, None, what, f"its name should be BAC009{path.parent.name}WNNNN.wav", remedy, fatal=True))
        else:
            found[path.stem] = (os.path.abspath(path), match[1])
    for utt in sorted(found):
        wav.rows[utt], tables["utt2spk"].rows[utt] = found[utt]
    return list(wav.rows)


def _check_count(corpus: Path, name: str, tables: dict[str, Table], check_counts: str) -> None:
    found, speakers = len(tables["wav.scp"].rows), len(set(tables["utt2spk"].rows.values()))
    complete = _mark(corpus).exists() or speakers >= SPEAKERS[name]
    if check_counts == "false" or (check_counts == "auto" and not complete):
        log.info(f"{name}: {found} of the corpus's {UTTERANCES[name]} utterances")
    elif found != UTTERANCES[name]:
        remedy = "download the corpus again, or give --check_counts false for a part of it"
        raise UserError(f"{corpus / 'wav' / name} has {found} utterances with a transcript, AISHELL-1 has {UTTERANCES[name]}: {remedy}")


def _mark(corpus: Path) -> Path:
    return corpus / ".complete"
