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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from asrlib.corpora.audio import audio_info, read_audio, write_wav
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.nemo import AUDIO, read_nemo
from asrlib.corpora.samples import Faults, Sample, json_values, one_line, speaker_of
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write, file_name, other_form

FORMATS = ("kaldi", "csv", "jsonl", "json", "nemo")
Makers = Iterator[Callable[[], Sample]]  # of the sample of each entry
Reader = Callable[[Path, Path, Faults], Makers]  # manifest, base folder of relative paths, faults


def read(path: str | Path, form: str = "auto", root: str | Path | None = None, faults: Faults | None = None) -> list[Sample]:
    """The samples of a manifest or Kaldi directory, sorted by id.

    root: base folder of relative paths; None: the manifest's folder (kaldi: the current one). faults: receives the entries that are passed over.
    UserError: a file is missing or malformed (file and line), an id is duplicate, a Kaldi directory has commands; without `faults`, a bad entry.
    """
    path, faults = Path(path), faults or Faults()
    if not path.exists():
        raise UserError(f"{path} is missing: give a manifest or a Kaldi data directory")
    form = detect(path) if form == "auto" else form
    base = Path(os.path.abspath(root or ("" if form == "kaldi" else path.parent)))
    readers: dict[str, Reader] = {"kaldi": _read_kaldi, "csv": _read_csv, "jsonl": _read_jsonl, "json": _read_json}
    try:
        if form == "nemo":
            samples = read_nemo(path, [base] if root else [base, Path()], faults)
        else:
            samples = faults.kept(readers[form](path, base, faults))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} or one of its transcripts is not UTF-8 ({error}): convert it, for example with iconv") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a {form} manifest ({type(error).__name__}: {error}): correct it or give --in_format") from error
    if not samples:
        raise UserError(str(faults.errors[0]) if faults.errors else f"{path} has no samples: give another manifest")
    return merge([samples], [str(path)])


def merge(parts: Sequence[Sequence[Sample]], names: Sequence[str]) -> list[Sample]:
    """All samples sorted by id. UserError: an id is duplicate, empty or has a space."""
    seen: dict[str, Sample] = {}
    for name, part in zip(names, parts, strict=True):
        for sample in part:
            if not sample.utt or set(sample.utt + sample.speaker) & set(" \t\n"):
                ids = f"utterance id {sample.utt!r} or speaker id {sample.speaker!r}"
                raise UserError(f"{name}: {sample.wav}: the {ids} is empty or has a space: rename the file")
            if sample.utt in seen:
                raise UserError(f"{name}: duplicate id {sample.utt} of {seen[sample.utt].wav} and {sample.wav}: make the file names unique")
            seen[sample.utt] = sample
    return [seen[utt] for utt in sorted(seen)]


def write(samples: Sequence[Sample], path: str | Path, form: str, wav_dir: Path | None = None, faults: Faults | None = None) -> int:
    """Writes samples as a manifest or Kaldi directory; returns how many. Transcripts without a file (csv, jsonl) go to the folder STEM_txt beside it.

    wav_dir: where utterances that are no whole files are written as wav files, unless the format is kaldi. faults: as in read.
    UserError: no sample is left; without `faults`, audio cannot be read, or an utterance is no whole file and there is no wav_dir.
    """
    path, faults = Path(path), faults or Faults()
    if form == "nemo":
        raise UserError("NeMo's manifests are read, not written: choose another --out_format")
    if form != "kaldi":
        samples = faults.kept(partial(_as_file, sample, form, wav_dir) for sample in samples)
    if not samples:
        raise UserError(str(faults.errors[0]))
    if form == "json":
        return _write_json(samples, path, faults)
    return {"kaldi": _write_kaldi, "csv": _write_csv, "jsonl": _write_jsonl}[form](samples, path)


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
    data = KaldiDir.read(path)
    for utt, value in data.wav.items():
        if is_pipe(value):
            raise UserError(f"{path / 'wav.scp'}: {utt} is a command, which manifests do not support: write the audio to files first")
    if data.text is None:
        raise UserError(f"{path / 'text'} is missing: add it, because manifests need transcripts")
    for u in data.utterances():
        wav, text, channel = os.path.join(root, u.wav), data.text[u.id], u.channels[0] if u.channels else None
        yield partial(Sample, u.id, u.speaker, wav, text, None, u.start, u.end, channel, data.recordings(u.id)[0])


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
    KaldiDir(tables).write(path)
    return len(samples)


def _txt(sample: Sample, manifest: Path) -> str:
    """The path of the sample's transcript file, which is written if there is none."""
    if sample.txt is not None:
        return sample.txt
    path = Path(os.path.abspath(manifest)).parent / f"{manifest.stem}_txt" / f"{file_name(sample.utt)}.txt"
    with atomic_write(path) as stream:
        stream.write(sample.text + "\n")
    return str(path)


def _write_csv(samples: Sequence[Sample], path: Path) -> int:
    rows = [(sample.wav, _txt(sample, path)) for sample in samples]
    with atomic_write(path) as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return len(rows)


def _write_jsonl(samples: Sequence[Sample], path: Path) -> int:
    files = [(sample, _txt(sample, path)) for sample in samples]
    root = os.path.commonpath([os.path.dirname(file) for sample, txt in files for file in (sample.wav, txt)])
    entries = [
        {"wav_path": os.path.relpath(sample.wav, root), "transcript_path": os.path.relpath(txt, root), "utt": sample.utt, "speaker": sample.speaker}
        for sample, txt in files
    ]
    with atomic_write(path) as stream:
        stream.write(json.dumps({"root_path": root, "samples": entries}, ensure_ascii=False) + "\n")
    return len(entries)


def _write_json(samples: Sequence[Sample], path: Path, faults: Faults) -> int:
    folder = os.path.dirname(os.path.abspath(path))
    items: dict[str, dict] = {}
    for sample in sorted(samples, key=lambda s: (_unperturbed(s.utt)[1], s.utt)):
        speed, utt = _unperturbed(sample.utt)
        try:
            info = audio_info(sample.wav)
        except UserError as error:
            faults.add(error)
            continue
        inside = sample.wav.startswith(folder + os.sep)
        file = {
            "channels": info.channels,
            "sample_rate": float(info.rate),
            "duration": info.seconds,
            "num_samples": info.frames,
            "fname": os.path.relpath(sample.wav, folder) if inside else sample.wav,
            "speed": speed,
        }
        speaker = _unperturbed(sample.speaker)[1] if speed != 1 else sample.speaker
        item = items.setdefault(utt, {"transcript": sample.text, "files": [], "utt": utt, "speaker": speaker})
        if item["transcript"] != sample.text or item["speaker"] != speaker:
            raise UserError(f"{sample.utt}: transcript or speaker differs from that of the utterance at another speed: correct text or utt2spk")
        item["files"].append(file)
    for item in items.values():
        original = next((file for file in item["files"] if file["speed"] == 1), None)
        if original:
            item |= {"original_duration": original["duration"], "original_num_samples": original["num_samples"]}
    with atomic_write(path) as stream:
        json.dump(list(items.values()), stream, ensure_ascii=False, indent=1)
    return sum(len(item["files"]) for item in items.values())


def _unperturbed(name: str) -> tuple[float | int, str]:
    """(speed, name without the prefix) of an id "sp0.9-NAME" from Kaldi's speed perturbation; (1, name) for other ids."""
    match = re.fullmatch(r"sp([0-9]+\.[0-9]+)-(.+)", name)
    return (float(match[1]), match[2]) if match else (1, name)
