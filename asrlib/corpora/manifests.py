"""Conversion between manifests of other toolkits and Kaldi data directories.

| format | written by | content |
|---|---|---|
| csv   | MindSpore's DeepSpeech2 | rows `wav,txt` of paths, no header; the transcript is in the txt file |
| jsonl | deepspeech.pytorch | objects `{"root_path": R, "samples": [{"wav_path": W, "transcript_path": T}, ...]}`, one or more, one per line |
| json  | NVIDIA's and MindSpore's Jasper | a list of `{"transcript": ..., "files": [{"fname": ..., "duration": ..., "speed": 1, ...}], ...}` |
| nemo  | NVIDIA's NeMo | objects `{"audio_filepath": ..., "duration": ..., "text": ..., "offset": ...}`, as asrlib.corpora.nemo says (read only) |
| kaldi | Kaldi, ESPnet | a directory of wav.scp, text, utt2spk, with segments if utterances are parts of files |

Ids and speakers: our json and jsonl have the additional keys `utt` and `speaker`, which the other toolkits ignore. Without these keys, and in
csv, the id is the name of the txt file (json: of the audio file) without its extension, and the speaker the part of the id before the first
`-`, or the whole id. Files that Jasper's converter perturbed in speed get Kaldi's ids, `sp0.9-UTTERANCE` of `sp0.9-SPEAKER`.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from asrlib.corpora.audio import AudioInfo, audio_info, read_audio, write_wav
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.nemo import AUDIO, read_nemo
from asrlib.corpora.samples import Faults, Sample, json_values, one_line, speaker_of
from asrlib.utils.disk_sort import DiskSort
from asrlib.utils.errors import UserError
from asrlib.utils.files import added_files, atomic_write, file_name, other_form
from asrlib.utils.pool import mapped
from asrlib.utils.progress import progress

FORMATS = ("kaldi", "csv", "jsonl", "json", "nemo")
Samples = DiskSort[Sample]
Makers = Iterator[Callable[[], Sample]]  # of the sample of each entry
Reader = Callable[[Path, Path, Faults], Makers]  # manifest, base folder of relative paths, faults


def read(sources: Sequence[str | Path], form: str = "auto", root: str | Path | None = None, faults: Faults | None = None) -> Samples:
    """The samples of manifests or Kaldi directories, sorted by id; of a large corpus they are in temporary files.

    root: base folder of relative paths; None: the manifest's folder (kaldi: the current one). faults: receives the entries that are passed over.
    UserError: a file is missing or malformed (file and line), an id is duplicate, a Kaldi directory has commands; without `faults`, a bad entry.
    """
    faults, samples = faults or Faults(), Samples(attrgetter("utt"))
    for path in map(Path, sources):
        before = len(samples)
        samples.add(_checked(_read(path, form, root, faults), path))
        if len(samples) == before:
            raise UserError(str(faults.errors[0]) if faults.errors else f"{path} has no samples: give another manifest")
    last = None
    for sample in samples:
        if last is not None and sample.utt == last.utt:
            names = ", ".join(map(str, sources))
            raise UserError(f"{names}: duplicate id {sample.utt} of {last.wav} and {sample.wav}: make the file names unique")
        last = sample
    return samples


def _read(path: Path, form: str, root: str | Path | None, faults: Faults) -> Iterator[Sample]:
    if not path.exists():
        raise UserError(f"{path} is missing: give a manifest or a Kaldi data directory")
    form = detect(path) if form == "auto" else form
    base = Path(os.path.abspath(root or ("" if form == "kaldi" else path.parent)))
    readers: dict[str, Reader] = {"kaldi": _read_kaldi, "csv": _read_csv, "jsonl": _read_jsonl, "json": _read_json}
    try:
        if form == "nemo":
            yield from read_nemo(path, [base] if root else [base, Path()], faults)
        else:
            yield from faults.kept(readers[form](path, base, faults))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} or one of its transcripts is not UTF-8 ({error}): convert it, for example with iconv") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a {form} manifest ({type(error).__name__}: {error}): correct it or give --in_format") from error


def _checked(samples: Iterable[Sample], path: Path) -> Iterator[Sample]:
    for sample in samples:
        if not sample.utt or set(sample.utt + sample.speaker) & set(" \t\n"):
            ids = f"utterance id {sample.utt!r} or speaker id {sample.speaker!r}"
            raise UserError(f"{path}: {sample.wav}: the {ids} is empty or has a space: rename the file")
        yield sample


def write(samples: Iterable[Sample], path: str | Path, form: str, wav_dir: Path | None = None, faults: Faults | None = None) -> int:
    """Writes samples as a manifest or Kaldi directory; returns how many. Transcripts without a file (csv, jsonl) go to the folder STEM_txt beside it.

    wav_dir: where utterances that are no whole files are written as wav files, unless the format is kaldi. faults: as in read.
    UserError: no sample is left; without `faults`, audio cannot be read, or an utterance is no whole file and there is no wav_dir.
    """
    path, faults = Path(path), faults or Faults()
    if form == "nemo":
        raise UserError("NeMo's manifests are read, not written: choose another --out_format")
    if form == "kaldi":
        return _write_kaldi(list(samples), path)
    files = Samples(_unperturbed_first if form == "json" else attrgetter("utt"))
    files.add(faults.kept(partial(_as_file, sample, form, wav_dir) for sample in samples))
    if not len(files):
        raise UserError(str(faults.errors[0]))
    return _write_json(files, path, faults) if form == "json" else _write_with_texts(files, path, form)


def _as_file(sample: Sample, form: str, wav_dir: Path | None) -> Sample:
    if sample.is_file():
        return sample
    if wav_dir is None:
        what = f"{sample.utt} is a part of {sample.wav} (segment, channel or place in an archive), which {form} cannot express"
        raise UserError(f"{what}: give --wav_dir, a folder to write such utterances to, or convert to a Kaldi directory")
    try:
        audio, path = read_audio(sample.wav, None, sample.start, sample.end, sample.channel), wav_dir.absolute() / f"{file_name(sample.utt)}.wav"
        write_wav(path, audio, audio_info(sample.wav).rate)
    except UserError as error:
        raise UserError(f"utterance {sample.utt}: {error}") from error
    return replace(sample, wav=str(path), start=0.0, end=None, channel=None, recording="")


def detect(path: Path) -> str:
    """The format of `path`, by its content. UserError: unknown format."""
    if path.is_dir():
        return "kaldi"
    with open(path, encoding="utf-8", errors="replace") as stream:
        start = stream.read(65536).lstrip("\ufeff \t\r\n")
    if start.startswith(("[", "{")):
        keys = set(re.findall(r'"(\w+)"\s*:', start))
        return "nemo" if keys & set(AUDIO) and not keys & {"samples", "files"} else "json" if start[0] == "[" else "jsonl"
    if start and "," in start.splitlines()[0]:
        return "csv"
    raise UserError(f"{path}: unknown format: give a Kaldi directory, a csv with rows wav,txt, a JSON list or JSON lines")


def format_of_target(path: Path) -> str:
    """The format for a path's extension: .csv, .json, .jsonl, else a Kaldi directory."""
    return {".csv": "csv", ".json": "json", ".jsonl": "jsonl"}.get(path.suffix, "kaldi")


def _read_kaldi(path: Path, root: Path, _: Faults) -> Makers:
    data = KaldiDir.on_disk(path)
    for utt, value in data.wav.items():
        if is_pipe(value):
            raise UserError(f"{path / 'wav.scp'}: {utt} is a command, which manifests do not support: write the audio to files first")
    if data.text is None:
        raise UserError(f"{path / 'text'} is missing: add it, because manifests need transcripts")
    for u in data.utterances():
        wav, channel = os.path.join(root, u.wav), u.channels[0] if u.channels else None
        yield partial(Sample, u.id, u.speaker, wav, u.text or "", None, u.start, u.end, channel, data.recordings(u.id)[0])


def file_pairs(path: Path) -> list[tuple[str, str]]:
    """The paths of audio and transcript in a csv or jsonl manifest, as they are written there. UserError: it is malformed."""
    try:
        if detect(path) == "csv":
            return [_two(row, where) for where, row in _csv_rows(path)]
        return [(item["wav_path"], item["transcript_path"]) for _, entry in json_values(path, Faults()) for item in entry["samples"]]
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a csv or jsonl manifest in UTF-8 ({type(error).__name__}: {error}): correct it") from error


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(place in the file, fields) of the rows."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if row:
                yield f"{path}, line {number}", row


def _two(row: list[str], where: str) -> tuple[str, str]:
    if len(row) != 2:
        raise UserError(f"{where}: {len(row)} fields instead of 2: write wav,txt")
    return row[0], row[1]


def _read_csv(path: Path, root: Path, _: Faults) -> Makers:
    for where, row in _csv_rows(path):
        yield partial(_from_row, row, root, where)


def _from_row(row: list[str], root: Path, where: str) -> Sample:
    wav, txt = _two(row, where)
    return _from_files(root / wav, root / txt, where)


def _read_jsonl(path: Path, root: Path, faults: Faults) -> Makers:
    for where, entry in json_values(path, faults):
        if isinstance(entry, dict) and "samples" not in entry:
            keys = f"objects with the keys {', '.join(sorted(entry)[:6])}"
            raise UserError(f"{where}: {keys} are not read: samples (deepspeech.pytorch) or audio_filepath (NeMo) is expected")
        base = root / entry.get("root_path", "")
        for item in entry["samples"]:
            yield partial(_from_files, base / item["wav_path"], base / item["transcript_path"], where, item.get("utt"), item.get("speaker"))


def _from_files(wav: Path, txt: Path, where: str, utt: str | None = None, speaker: str | None = None) -> Sample:
    try:
        text = one_line(txt.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{where}: transcript {txt} cannot be read ({error.strerror}): {other_form(txt) or 'correct its path'}") from error
    utt = utt or txt.stem
    return Sample(utt, speaker or speaker_of(utt), os.path.normpath(wav), text, os.path.normpath(txt))


def _read_json(path: Path, root: Path, faults: Faults) -> Makers:
    for _, items in json_values(path, faults):
        for item in items:
            for file in item["files"]:
                yield partial(_from_item, item, file, root)


def _from_item(item: dict, file: dict, root: Path) -> Sample:
    speed = float(file.get("speed", 1))
    # the converter names a perturbed copy NAME-0.9.wav
    name = Path(file["fname"]).stem.removesuffix(f"-{file.get('speed')}" if speed != 1 else "")
    utt = item.get("utt", name)
    speaker = item.get("speaker", speaker_of(utt))
    prefix = f"sp{speed}-" if speed != 1 else ""
    return Sample(prefix + utt, prefix + speaker, os.path.normpath(root / file["fname"]), one_line(item["transcript"]))


def _write_kaldi(samples: Sequence[Sample], path: Path) -> int:
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    parts = any(
        sample.start or sample.end is not None or sample.recording not in ("", sample.utt) or (sample.channel and not sample.channel.alone)
        for sample in samples
    )
    for sample in samples:
        recording = (sample.recording or sample.utt) if parts else sample.utt
        if tables["wav.scp"].setdefault(recording, sample.wav) != sample.wav:
            raise UserError(f"recording {recording} is {tables['wav.scp'][recording]} and {sample.wav}: make the file names unique")
        tables["text"][sample.utt], tables["utt2spk"][sample.utt] = sample.text, sample.speaker
        if parts:
            channel = f" {sample.channel.number}" if sample.channel and not sample.channel.alone else ""
            end = -1 if sample.end is None else sample.end
            tables.setdefault("segments", {})[sample.utt] = f"{recording} {sample.start} {end}{channel}"
        if sample.channel and sample.channel.alone:
            tables.setdefault("reco2file_and_channel", {})[recording] = f"{recording} {sample.channel.number + 1}"
    KaldiDir(dict(tables)).write(path)
    return len(samples)


def _write_with_texts(samples: Samples, path: Path, form: str) -> int:
    """csv or jsonl. Transcripts without a file are written first."""
    folder = Path(os.path.abspath(path)).parent / f"{path.stem}_txt"
    files = Samples(attrgetter("utt"))
    with added_files(folder) as temporary:
        bar = progress(samples, desc="transcripts", total=len(samples), unit="utt", delay=2)
        files.add(_with_txt(sample, folder, temporary) for sample in bar)
    with atomic_write(path) as stream:
        if form == "csv":
            csv.writer(stream, lineterminator="\n").writerows((sample.wav, sample.txt) for sample in files)
        else:
            _write_jsonl(files, stream)
    return len(files)


def _with_txt(sample: Sample, folder: Path, temporary: Path) -> Sample:
    """The sample with a file of its transcript in `folder`, which is written to `temporary`, if it has none."""
    if sample.txt is not None:
        return sample
    name = f"{file_name(sample.utt)}.txt"
    with open(temporary / name, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(sample.text + "\n")
    return replace(sample, txt=str(folder / name))


def _write_jsonl(samples: Samples, stream: IO[str]) -> None:
    folders = {os.path.dirname(file) for sample in samples for file in (sample.wav, str(sample.txt))}
    root = os.path.commonpath(folders)
    stream.write(f'{{"root_path": {json.dumps(root, ensure_ascii=False)}, "samples": [')
    for number, sample in enumerate(samples):
        wav, txt = os.path.relpath(sample.wav, root), os.path.relpath(str(sample.txt), root)
        entry = {"wav_path": wav, "transcript_path": txt, "utt": sample.utt, "speaker": sample.speaker}
        stream.write((", " if number else "") + json.dumps(entry, ensure_ascii=False))
    stream.write("]}\n")


def _write_json(samples: Samples, path: Path, faults: Faults) -> int:
    """samples: those of an utterance at several speeds one after the other."""
    folder, count = os.path.dirname(os.path.abspath(path)), 0
    infos = mapped(_info_or_error, (sample.wav for sample in samples), len(samples))
    rows = progress(zip(samples, infos, strict=True), desc="headers of audio files", total=len(samples), unit="utt", delay=2)
    with atomic_write(path) as stream:
        mark = "["
        for utt, group in groupby(rows, key=lambda row: _unperturbed(row[0].utt)[1]):
            item = _jasper_item(utt, group, folder, faults)
            if item is not None:
                stream.write(f"{mark}\n " + json.dumps(item, ensure_ascii=False, indent=1).replace("\n", "\n "))
                mark, count = ",", count + len(item["files"])
        stream.write("[]" if mark == "[" else "\n]")
    return count


def _info_or_error(wav: str) -> AudioInfo | UserError:
    try:
        return audio_info(wav)
    except UserError as error:
        return error


def _jasper_item(utt: str, rows: Iterable[tuple[Sample, AudioInfo | UserError]], folder: str, faults: Faults) -> dict[str, Any] | None:
    """An utterance with its files; None if none can be read."""
    item: dict[str, Any] = {}
    for sample, info in rows:
        if isinstance(info, UserError):
            faults.add(info)
            continue
        speed = _unperturbed(sample.utt)[0]
        file = {
            "channels": info.channels,
            "sample_rate": float(info.rate),
            "duration": info.seconds,
            "num_samples": info.frames,
            "fname": os.path.relpath(sample.wav, folder) if sample.wav.startswith(folder + os.sep) else sample.wav,
            "speed": speed,
        }
        speaker = _unperturbed(sample.speaker)[1] if speed != 1 else sample.speaker
        item = item or {"transcript": sample.text, "files": [], "utt": utt, "speaker": speaker}
        if item["transcript"] != sample.text or item["speaker"] != speaker:
            raise UserError(f"{sample.utt}: transcript or speaker differs from that of the utterance at another speed: correct text or utt2spk")
        item["files"].append(file)
    original = next((file for file in item.get("files", ()) if file["speed"] == 1), None)
    if original:
        item |= {"original_duration": original["duration"], "original_num_samples": original["num_samples"]}
    return item or None


def _unperturbed_first(sample: Sample) -> tuple[str, str]:
    return _unperturbed(sample.utt)[1], sample.utt


def _unperturbed(name: str) -> tuple[float | int, str]:
    """(speed, name without the prefix) of an id "sp0.9-NAME" from Kaldi's speed perturbation; (1, name) for other ids."""
    match = re.fullmatch(r"sp([0-9]+\.[0-9]+)-(.+)", name)
    return (float(match[1]), match[2]) if match else (1, name)
