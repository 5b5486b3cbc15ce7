"""LibriSpeech in the layout of MindSpore's DeepSpeech2: LibriSpeech_dataset/{train,val,test_clean,test_other}/{wav,txt} and a manifest of each set.

A set is wav/UTTERANCE.wav beside txt/UTTERANCE.txt. libri_SET_manifest.csv (rows `wav,txt`) or .json (deepspeech.pytorch's lines), in the folder of
the corpus, of the set, or above, lists the utterances to use. Its paths are absolute, often of another machine: only their file names count. Without
a manifest the set has all its files. `python -m asrlib.bin.manifest --files` writes this layout.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from asrlib.corpora.audio import read_audio, write_wav
from asrlib.corpora.kaldi_table import Problem, Table
from asrlib.corpora.manifests import file_pairs
from asrlib.corpora.samples import Sample
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import run_jobs
from asrlib.utils.progress import progress

log = get_logger(__name__)

RATE = 16000
PART = 512  # utterances of a job


def set_folder(corpus: Path, name: str) -> Path | None:
    """The folder of a set in this layout, named with _ or -; None: the corpus does not have the set in this layout."""
    return next((folder for folder in (corpus / name, corpus / name.replace("-", "_")) if (folder / "wav").is_dir()), None)


def read_set(folder: Path) -> dict[str, Table]:
    """Tables of one set: wav.scp (absolute paths), text (upper case), utt2spk (the part of the id before the first -).

    Missing, empty and invalid files are Problems of the tables. UserError: a malformed manifest, two manifests of one format, no wav files.
    """
    manifest = _manifest(folder)
    listed = dict(_listed(manifest)) if manifest else {path.stem: path.stem for path in sorted((folder / "wav").glob("*.wav"))}
    if not listed:
        raise UserError(f"{manifest or folder / 'wav'} has no utterances: give the folder that holds the sets as --corpus_dir")
    source = manifest or folder
    tables = {name: Table(folder / name) for name in ("wav.scp", "text", "utt2spk")}
    for utt, txt in progress(sorted(listed.items()), desc=f"transcripts of {folder.name}", unit="file", delay=2):
        wav, speaker = folder / "wav" / f"{utt}.wav", utt.partition("-")[0]
        tables["utt2spk"].rows[utt] = speaker
        if wav.is_file():
            tables["wav.scp"].rows[utt] = os.path.abspath(wav)
        else:
            _add_problem(tables["wav.scp"], "wav.scp", source, "audio file is missing", utt, f"add {wav}")
        words, fault = _transcript(folder / "txt" / f"{txt}.txt")
        if words:
            tables["text"].rows[utt] = words.upper()
        else:
            _add_problem(tables["text"], "text", source, fault, utt, f"correct {folder / 'txt' / f'{txt}.txt'}")
    _tell_unlisted(folder, manifest, listed.keys())
    return tables


def _manifest(folder: Path) -> Path | None:
    name = f"libri_{folder.name}_manifest"
    places = (folder.parent, folder, folder.parent.parent)
    for suffix in (".csv", ".json"):
        found = [path for path in (place / (name + suffix) for place in places) if path.is_file()]
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} are both manifests of {folder.name}: remove one")
        if found:
            return found[0]
    return None


def _listed(manifest: Path) -> Iterator[tuple[str, str]]:
    """Utterance and the name of its transcript's file without extension. UserError: an utterance is listed twice."""
    seen = set()
    for wav, txt in file_pairs(manifest):
        utt = PureWindowsPath(wav).stem  # it takes / and \ as separators
        if utt in seen:
            raise UserError(f"{manifest}: {utt} is listed twice: remove one of its lines")
        seen.add(utt)
        yield utt, PureWindowsPath(txt).stem


def _transcript(path: Path) -> tuple[str, str]:
    """The words of a transcript file, and what is wrong if there are none."""
    try:
        words = " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError:
        return "", "transcript is not UTF-8"
    except OSError:
        return "", "audio without transcript"
    return words, "" if words else "empty transcript"


def _add_problem(table: Table, name: str, source: Path, what: str, utt: str, advice: str) -> None:
    table.bad.add(utt)
    table.problems.append(Problem(source, None, what, utt, f"{advice}, or --fix true drops the utterance", drop=utt, source=name))


def _tell_unlisted(folder: Path, manifest: Path | None, listed: Collection[str]) -> None:
    """Warns of audio files that the manifest does not list, and of transcripts without audio where there is no manifest."""
    kind = "wav" if manifest else "txt"
    others = sorted({path.stem for path in (folder / kind).glob(f"*.{kind}")} - set(listed))
    if others:
        where = f"which {manifest} does not list" if manifest else f"without audio in {folder / 'wav'}"
        log.warning("%s has %d files %s, among them %s.%s: they are not used", folder / kind, len(others), where, others[0], kind)


def write_set(samples: Sequence[Sample], folder: Path, nj: int = 0) -> list[Sample]:
    """Writes folder/wav/UTTERANCE.wav (16 kHz, 16 bits, one channel) and folder/txt/UTTERANCE.txt; the samples with the paths of these files.

    UserError: an id is no file name; an audio file cannot be read.
    """
    for sample in samples:
        if "/" in sample.utt or sample.utt.startswith("."):
            raise UserError(f"utterance {sample.utt}: the id becomes a file name, in which / and a . at the beginning are not allowed: rename it")
    folder = Path(os.path.abspath(folder))
    parts = [samples[i : i + PART] for i in range(0, len(samples), PART)]
    written = run_jobs(_write_files, [(part, folder) for part in parts], folder / "log", nj, desc=f"files of {folder.name}")
    return [sample for part in written for sample in part]


def _write_files(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    written = []
    for sample in samples:
        wav, txt = folder / "wav" / f"{sample.utt}.wav", folder / "txt" / f"{sample.utt}.txt"
        write_wav(wav, read_audio(sample.wav, RATE, sample.start, sample.end, sample.channel), RATE)
        with atomic_write(txt) as stream:
            stream.write(sample.text + "\n")
        written.append(replace(sample, wav=str(wav), txt=str(txt), start=0.0, end=None, channel=None, recording=""))
    return written
