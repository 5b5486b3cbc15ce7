"""Conversion between manifests of other toolkits and Kaldi data directories.

| format | written by | content |
|---|---|---|
| csv   | MindSpore's DeepSpeech2 | rows `wav,txt` of paths, no header; the transcript is in the txt file |
| jsonl | deepspeech.pytorch | objects `{"root_path": R, "samples": [{"wav_path": W, "transcript_path": T}, ...]}`, one or more, one per line |
| json  | NVIDIA's and MindSpore's Jasper | a list of `{"transcript": ..., "files": [{"fname": ..., "duration": ..., "speed": 1, ...}], ...}` |
| kaldi | Kaldi, ESPnet | a directory of wav.scp, text, utt2spk |

Ids and speakers: our json and jsonl have the additional keys `utt` and `speaker`, which the other toolkits ignore. Without these keys, and in
csv, the id is the name of the txt file (json: of the audio file) without its extension, and the speaker the part of the id before the first
`-`, or the whole id. Files that Jasper's converter perturbed in speed get Kaldi's ids, `sp0.9-UTTERANCE` of `sp0.9-SPEAKER`.
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.corpora.audio import audio_info
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

FORMATS = ("kaldi", "csv", "jsonl", "json")


@dataclass(frozen=True)
class Sample:
    """One utterance; `wav` and `txt` (the transcript's file, if any) are absolute paths."""

    utt: str
    speaker: str
    wav: str
    text: str
    txt: str | None = None


def read(path: str | Path, form: str = "auto", root: str | Path | None = None) -> list[Sample]:
    """The samples of a manifest or Kaldi directory, sorted by id.

    root: base folder of relative paths; None: the manifest's folder (kaldi: the current one).
    UserError: a file is missing or malformed (file and line), an id is duplicate, a Kaldi directory has segments or commands.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} is missing: give a manifest or a Kaldi data directory")
    form = detect(path) if form == "auto" else form
    root = Path(os.path.abspath(root or ("" if form == "kaldi" else path.parent)))
    readers = {"kaldi": _read_kaldi, "csv": _read_csv, "jsonl": _read_jsonl, "json": _read_json}
    try:
        samples = readers[form](path, root)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} or one of its transcripts is not UTF-8 ({error}): convert it, for example with iconv") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a {form} manifest ({type(error).__name__}: {error}): correct it or give --in_format") from error
    if not samples:
        raise UserError(f"{path} has no samples: give another manifest")
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


def write(samples: Sequence[Sample], path: str | Path, form: str) -> None:
    """Writes samples as a manifest or Kaldi directory. For csv and jsonl, transcripts without a file are written to the folder STEM_txt beside it.

    UserError: an audio file cannot be read (json, which needs durations).
    """
    path = Path(path)
    {"kaldi": _write_kaldi, "csv": _write_csv, "jsonl": _write_jsonl, "json": _write_json}[form](samples, path)


def detect(path: Path) -> str:
    """The format of `path`, by its content. UserError: unknown format."""
    if path.is_dir():
        return "kaldi"
    with open(path, encoding="utf-8", errors="replace") as stream:
        start = stream.read(65536).lstrip("\ufeff \t\r\n")
    if start.startswith(("[", "{")):
        return "json" if start[0] == "[" else "jsonl"
    if start and "," in start.splitlines()[0]:
        return "csv"
    raise UserError(f"{path}: unknown format: give a Kaldi directory, a csv with rows wav,txt, a JSON list or JSON lines")


def format_of_target(path: Path) -> str:
    """The format for a path's extension: .csv, .json, .jsonl, else a Kaldi directory."""
    return {".csv": "csv", ".json": "json", ".jsonl": "jsonl"}.get(path.suffix, "kaldi")


def _read_kaldi(path: Path, root: Path) -> list[Sample]:
    data = KaldiDir.read(path)
    if data.segments is not None:
        raise UserError(f"{path} has segments, which manifests do not support: cut the recordings into files first")
    for utt, value in data.wav.items():
        if is_pipe(value):
            raise UserError(f"{path / 'wav.scp'}: {utt} is a command, which manifests do not support: write the audio to files first")
    if data.text is None:
        raise UserError(f"{path / 'text'} is missing: add it, because manifests need transcripts")
    return [Sample(u.id, u.speaker, os.path.join(root, u.wav), data.text[u.id]) for u in data.utterances()]


def _read_csv(path: Path, root: Path) -> list[Sample]:
    samples = []
    with open(path, encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not row:
                continue
            if len(row) != 2:
                raise UserError(f"{path}, line {number}: {len(row)} fields instead of 2: write wav,txt")
            samples.append(_from_files(root / row[0], root / row[1], f"{path}, line {number}"))
    return samples


def _read_jsonl(path: Path, root: Path) -> list[Sample]:
    content = path.read_text(encoding="utf-8-sig")
    try:
        entries = [json.loads(content)]
    except json.JSONDecodeError:
        entries = []
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                entries.append(_loads(line, f"{path}, line {number}"))
    samples = []
    for entry in entries:
        base = root / entry.get("root_path", "")
        for item in entry["samples"]:
            samples.append(_from_files(base / item["wav_path"], base / item["transcript_path"], str(path), item.get("utt"), item.get("speaker")))
    return samples


def _from_files(wav: Path, txt: Path, where: str, utt: str | None = None, speaker: str | None = None) -> Sample:
    try:
        text = _one_line(txt.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{where}: transcript {txt} cannot be read ({error.strerror}): correct its path") from error
    utt = utt or txt.stem
    return Sample(utt, speaker or _speaker(utt), os.path.normpath(wav), text, os.path.normpath(txt))


def _one_line(text: str) -> str:
    return " ".join(line.strip(" \t\r") for line in text.strip().split("\n"))


def _speaker(utt: str) -> str:
    return utt.partition("-")[0] or utt


def _read_json(path: Path, root: Path) -> list[Sample]:
    samples = []
    for item in _loads(path.read_text(encoding="utf-8-sig"), str(path)):
        for file in item["files"]:
            speed = float(file.get("speed", 1))
            # the converter names a perturbed copy NAME-0.9.wav
            name = Path(file["fname"]).stem.removesuffix(f"-{file.get('speed')}" if speed != 1 else "")
            utt = item.get("utt", name)
            speaker = item.get("speaker", _speaker(utt))
            prefix = f"sp{speed}-" if speed != 1 else ""
            samples.append(Sample(prefix + utt, prefix + speaker, os.path.normpath(root / file["fname"]), _one_line(item["transcript"])))
    return samples


def _loads(text: str, where: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: invalid JSON ({error}): correct it") from error


def _write_kaldi(samples: Iterable[Sample], path: Path) -> None:
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    for sample in samples:
        tables["wav.scp"][sample.utt], tables["text"][sample.utt], tables["utt2spk"][sample.utt] = sample.wav, sample.text, sample.speaker
    KaldiDir(tables).write(path)


def _txt(sample: Sample, manifest: Path) -> str:
    """The path of the sample's transcript file, which is written if there is none."""
    if sample.txt is not None:
        return sample.txt
    path = Path(os.path.abspath(manifest)).parent / f"{manifest.stem}_txt" / f"{sample.utt}.txt"
    with atomic_write(path) as stream:
        stream.write(sample.text + "\n")
    return str(path)


def _write_csv(samples: Iterable[Sample], path: Path) -> None:
    rows = [(sample.wav, _txt(sample, path)) for sample in samples]
    with atomic_write(path) as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _write_jsonl(samples: Sequence[Sample], path: Path) -> None:
    files = [(sample, _txt(sample, path)) for sample in samples]
    root = os.path.commonpath([os.path.dirname(file) for sample, txt in files for file in (sample.wav, txt)])
    entries = [
        {"wav_path": os.path.relpath(sample.wav, root), "transcript_path": os.path.relpath(txt, root), "utt": sample.utt, "speaker": sample.speaker}
        for sample, txt in files
    ]
    with atomic_write(path) as stream:
        stream.write(json.dumps({"root_path": root, "samples": entries}, ensure_ascii=False) + "\n")


def _write_json(samples: Sequence[Sample], path: Path) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    items: dict[str, dict] = {}
    for sample in sorted(samples, key=lambda s: (_unperturbed(s.utt)[1], s.utt)):
        speed, utt = _unperturbed(sample.utt)
        info = audio_info(sample.wav)
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


def _unperturbed(name: str) -> tuple[float | int, str]:
    """(speed, name without the prefix) of an id "sp0.9-NAME" from Kaldi's speed perturbation; (1, name) for other ids."""
    match = re.fullmatch(r"sp([0-9]+\.[0-9]+)-(.+)", name)
    return (float(match[1]), match[2]) if match else (1, name)
