"""LibriSpeech (Panayotov et al. 2015, https://www.openslr.org/12): download, and Kaldi directories from its folders.

Layout: LibriSpeech/SET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac beside SPEAKER-CHAPTER.trans.txt, and SPEAKERS.TXT at the top. The corpus,
a sample of it and the synthesised mini corpus share this layout. A set with a folder wav has that of MindSpore's DeepSpeech2 (librispeech_wav.py).

`check_counts` controls the check of the number of utterances. "true": always; "false": never; "auto": if the set should be complete, that is, if
  - our download marked it as complete, or
  - SPEAKERS.TXT lists all speakers of the set, so that it came with an original archive, perhaps partially unpacked, or
  - the folder has all speakers of the set or more than half of its utterances.
Otherwise it is a sample, and the log gives its share of the set.
"""

import os
from argparse import ArgumentError, Namespace
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from asrlib.corpora import fetch, librispeech_wav
from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_ops import combine
from asrlib.corpora.kaldi_table import Problem, Table, read_table
from asrlib.corpora.kaldi_validate import Rules
from asrlib.utils.cli import Parser
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

URL = "https://www.openslr.org/resources/12"


@dataclass(frozen=True)
class Part:
    """Published facts of a set: md5 of its archive (md5sum.txt of SLR12), size of the archive in GB, utterances, speakers, hours."""

    md5: str
    gigabytes: float
    utterances: int
    speakers: int
    hours: float = 0.0


PARTS = {
    "train-clean-100": Part("2a93770f6d5c6c964bc36631d331a522", 6.4, 28539, 251, 100.6),
    "train-clean-360": Part("c0e676e450a7ff2f54aeade5171606fa", 23.1, 104014, 921, 363.6),
    "train-other-500": Part("d1a0fd59409feb2c614ce4d30c387708", 30.6, 148688, 1166, 496.7),
    "dev-clean": Part("42e2234ba48799c1f50f24a7926300a1", 0.34, 2703, 40, 5.4),
    "dev-other": Part("c8d0bcc9cca99d4f8b62fcc847357931", 0.32, 2864, 33, 5.3),
    "test-clean": Part("32fa31d27d2e1cad72775fee3f4849a9", 0.35, 2620, 40, 5.4),
    "test-other": Part("fb5a50374b501bb3bac4815ee91d3135", 0.33, 2939, 33, 5.1),
}


def hours(source: Path) -> float:
    """The published hours of the set in a folder; 0: none is known."""
    return PARTS[source.name].hours if source.name in PARTS else 0.0


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `download`."""
    download(download_dir, options.sets.split(), options.mirror or URL, options.remove_archive)


def add_options(parser: Parser) -> None:
    group = parser.add_argument_group("LibriSpeech")
    group.add_argument("--train_sets", default="", type=str.split, help="sets combined as train")
    group.add_argument("--valid_sets", default="", type=str.split, help="sets combined as dev")
    group.add_argument("--test_sets", default="", type=str.split, help="sets, each prepared under its name with _ for -")


def prepare_data(corpus_dir: Path, options: Namespace) -> dict[str, Repair]:
    """train and dev (each the combination of its sets) and every test set under its name with _ for - (asrlib.corpora.registry).

    UserError: as `prepare`; a fault in a set, without options.fix. ArgumentError: no set is named.
    """
    if not (options.train_sets or options.valid_sets or options.test_sets):
        raise ArgumentError(None, "name at least one set in --train_sets, --valid_sets or --test_sets")
    tests = {name.replace("-", "_"): [name] for name in options.test_sets}
    prepared: dict[str, Repair] = {}
    for target, names in {"train": options.train_sets, "dev": options.valid_sets, **tests}.items():
        rules = Rules(audio=options.audio, keep_all=target in tests)
        parts = [accept(corpus_dir / name, prepare(corpus_dir, name, options.check_counts), rules, options.fix) for name in names]
        if parts:
            dropped = {utt: reason for part in parts for utt, reason in part.dropped.items()}
            prepared[target] = Repair(combine([part.data for part in parts], names), dropped)
    return prepared


def download(download_dir: str | Path, sets: Iterable[str], mirror: str = URL, remove_archive: bool = False) -> Path:
    """Downloads and unpacks the archives of `sets` to download_dir/LibriSpeech/SET and returns download_dir/LibriSpeech.

    Complete sets are skipped; an interrupted download is resumed. mirror: base URL of the archives.
    UserError: an unknown set, an incomplete folder of a set, no network, not enough disk space, wrong checksum twice.
    """
    sets, download_dir = list(sets), Path(download_dir)
    for name in sets:
        if name not in PARTS:
            raise UserError(f"LibriSpeech has no set {name!r}: choose from {', '.join(PARTS)}")
    corpus = download_dir / "LibriSpeech"
    wanted = [name for name in dict.fromkeys(sets) if not _complete(corpus, name, PARTS[name].utterances)]
    # an archive and its contents are about equally large, because gzip does not compress flac; downloaded data needs no more space
    downloaded = sum(path.stat().st_size / 1e9 for name in wanted for path in download_dir.glob(f"{name}.tar.gz*"))
    fetch.check_disk(download_dir, sum(PARTS[name].gigabytes * 2 for name in wanted) - downloaded)
    for name in wanted:
        archive = download_dir / f"{name}.tar.gz"
        fetch.download(f"{mirror.rstrip('/')}/{archive.name}", archive, md5=PARTS[name].md5)
        fetch.extract_archive(archive, corpus, into=("LibriSpeech", name), mark=_mark(corpus, name))
        if remove_archive:
            archive.unlink()
    return corpus


def _complete(corpus: Path, name: str, utterances: int) -> bool:
    """Whether the set is complete: marked, or with all its utterances. UserError: it is incomplete; existing files are not overwritten."""
    if _mark(corpus, name).exists():
        log.info(f"{corpus / name} is complete: skipping the download")
        return True
    if not (corpus / name).exists():
        return False
    found = len(_scan(corpus / name)[0])
    if found != utterances:
        raise UserError(f"{corpus / name} has {found} of the set's {utterances} utterances: move it away to download the set, or skip the download")
    log.info(f"{corpus / name} has all its {found} utterances: skipping the download")
    return True


def _mark(corpus: Path, name: str) -> Path:
    return corpus / f".{name}.complete"


def prepare(corpus_dir: str | Path, name: str, check_counts: str = "auto") -> dict[str, Table]:
    """Tables of one set: wav.scp (absolute paths), text (upper case), utt2spk, spk2gender if SPEAKERS.TXT has all speakers.

    Utterance ids are SPEAKER-CHAPTER-NNNN, speaker ids SPEAKER. Audio without transcript, transcripts without audio, misplaced and duplicate
    files are Problems of the tables. UserError: no such set or folder; an unexpected number of utterances.
    """
    if check_counts not in ("auto", "true", "false"):
        raise UserError(f"--check_counts {check_counts!r}: choose auto, true or false")
    corpus = Path(corpus_dir)
    wav_layout = librispeech_wav.set_folder(corpus, name)
    tables = librispeech_wav.read_set(wav_layout) if wav_layout else _read_set(corpus / name)
    speakers = _speakers(corpus)
    _check_count(corpus, name, tables, speakers, check_counts)
    genders = {speaker: speakers[speaker][0] for speaker in set(tables["utt2spk"].rows.values()) if speaker in speakers}
    if genders and len(genders) == len(set(tables["utt2spk"].rows.values())):
        tables["spk2gender"] = Table(corpus / "SPEAKERS.TXT", dict(sorted(genders.items())))
    elif speakers:
        log.warning(f"{corpus / 'SPEAKERS.TXT'} lacks speakers of {name}: skipping spk2gender")
    return {file: _sorted(table) for file, table in tables.items()}


def _read_set(folder: Path) -> dict[str, Table]:
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: download the set, or give the folder that holds LibriSpeech's sets as --corpus_dir")
    flacs, texts = _scan(folder)
    tables = {file: Table(folder / file) for file in ("wav.scp", "text", "utt2spk")}
    _add_audio(tables, flacs)
    _add_text(tables["text"], texts)
    if not tables["wav.scp"].rows:
        raise UserError(f"{folder} has no SPEAKER/CHAPTER/*.flac: give the folder that holds LibriSpeech's sets as --corpus_dir")
    _match(tables, folder)
    return tables


def _scan(folder: Path) -> tuple[list[Path], list[Path]]:
    """The flac files and the transcript files under a set's folder, in sorted order; links are followed."""
    flacs, texts = [], []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        flacs += [Path(top) / file for file in sorted(files) if file.endswith(".flac")]
        texts += [Path(top) / file for file in sorted(files) if file.endswith(".trans.txt")]
    return flacs, texts


def _add_audio(tables: dict[str, Table], flacs: list[Path]) -> None:
    wav, utt2spk = tables["wav.scp"], tables["utt2spk"]
    for path in flacs:
        utt, speaker, chapter = path.stem, path.parent.parent.name, path.parent.name
        if not utt.startswith(f"{speaker}-{chapter}-"):
            what = "audio file in the wrong folder"
            wav.problems.append(Problem(path, None, what, f"its name should begin with {speaker}-{chapter}-", "move or remove it", fatal=True))
        elif utt in wav.rows:
            wav.problems.append(Problem(path, None, "duplicate utterance", f"{utt} is also {wav.rows[utt]}", "remove one of them", fatal=True))
        else:
            wav.rows[utt], utt2spk.rows[utt] = os.path.abspath(path), speaker


def _add_text(text: Table, files: list[Path]) -> None:
    for path in progress(files, desc=f"transcripts of {text.path.parent.name}", unit="file", delay=2):
        part = read_table(path)
        text.problems += [replace(problem, source="text") for problem in part.problems]
        text.bad |= part.bad
        for utt, words in part.rows.items():
            if utt in text.rows:
                detail = f"{utt} is also in another transcript file"
                problem = Problem(path, part.lines[utt], "duplicate transcript", detail, "remove one of them", fatal=True, source="text")
                text.problems.append(problem)
            text.rows[utt] = words.upper()


def _match(tables: dict[str, Table], folder: Path) -> None:
    wav, text = tables["wav.scp"], tables["text"]
    for utt in sorted(wav.rows.keys() - text.rows.keys() - text.bad):
        fix = "add its line to the .trans.txt, or --fix true drops it"
        text.problems.append(Problem(Path(wav.rows[utt]), None, "audio without transcript", utt, fix, drop=utt, source="text"))
        text.bad.add(utt)
    for utt in sorted(text.rows.keys() - wav.rows.keys()):
        fix = f"add {utt}.flac, or --fix true drops it"
        where = folder.joinpath(*utt.split("-")[:2])
        text.problems.append(Problem(where, None, "transcript without audio", utt, fix, drop=utt, source="text"))
        text.bad.add(utt)
        del text.rows[utt]


def _speakers(corpus: Path) -> dict[str, tuple[str, str]]:
    """Speaker -> (m or f, set) of SPEAKERS.TXT, lines of `ID | SEX | SUBSET | MINUTES | NAME`; empty without the file."""
    path = corpus / "SPEAKERS.TXT"
    speakers = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith(";") and len(fields) >= 3 and fields[1] in ("M", "F"):
            speakers[fields[0]] = (fields[1].lower(), fields[2])
    return speakers


def _check_count(corpus: Path, name: str, tables: dict[str, Table], speakers: dict[str, tuple[str, str]], check_counts: str) -> None:
    part, found = PARTS.get(name.replace("_", "-")), len(tables["wav.scp"].rows)
    if part is None or check_counts == "false":
        return
    original = sum(subset == name.replace("_", "-") for _, subset in speakers.values()) == part.speakers
    complete = len(set(tables["utt2spk"].rows.values())) >= part.speakers or found > part.utterances / 2
    if check_counts == "auto" and not (_mark(corpus, name).exists() or original or complete):
        log.info(f"{name}: a sample, {found} of the corpus's {part.utterances} utterances")
    elif found != part.utterances:
        remedy = "download the set again, or give --check_counts false for a part of it"
        raise UserError(f"{corpus / name} has {found} utterances, LibriSpeech has {part.utterances}: {remedy}")


def _sorted(table: Table) -> Table:
    table.rows = dict(sorted(table.rows.items()))
    return table
