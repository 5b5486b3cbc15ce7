"""CPU time and memory of the commands on a simulated corpus of many utterances, each command in its own process.

  tools/bench/large_corpus.py --work WORK --utterances 281241 4000000

Makes the tables of a corpus in WORK (drawn words and errors, no audio) and prints a table: seconds of CPU and peak memory of every command at each
size, and the growth between the first and the last. What is known of a size is in WORK/SIZE/results.json and not measured again.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrlib.utils.cli import Parser, run
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[2]
WORDS, PER_UTTERANCE, SECONDS, BLOCK = 200_000, 33, 12.3, 10_000
COMMANDS = {
    "score, words": "score --ref text --hyp hyp_a --unit word --out out/word",
    "score, characters": "score --ref text --hyp hyp_a --unit char --out out/char",
    "compare_systems, words": "compare_systems --ref text --hyp_a hyp_a --hyp_b hyp_b --unit word --out out/compared",
    "compare_systems, characters": "compare_systems --ref text --hyp_a hyp_a --hyp_b hyp_b --unit char --out out/compared_char",
    "make_ngram, 3-gram": "make_ngram --text text --order 3 --out out/lm.arpa",
    "make_tokens, words": "make_tokens --type word --text text --out out/words.txt",
    "make_tokens, SentencePiece 500": "make_tokens --type sentencepiece --text text --out out/pieces.txt",
    "filter_leaks": "filter_leaks --data_dir . --against dev --out out/filtered",
    "concat_data": "concat_data --data_dir . --out out/joined",
    "manifest, CSV": "manifest --from . --to out/train.csv",
}
TABLES = {
    "tables of a CTC rank": ("ctc", "conf/deepspeech2.yaml"),
    "tables of a HuBERT rank": ("pretrain", "conf/hubert_base.yaml"),
    "tables of a ProgRE rank": ("pretrain", "conf/progre_base.yaml"),
    "tables of a wav2vec 2.0 rank": ("pretrain", "conf/wav2vec2_base.yaml"),
    "history of as many updates": ("history", ""),
}


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpora and results")
    parser.add_argument("--utterances", type=int, nargs="+", default=[20_000, 80_000], help="sizes of the corpora")
    parser.add_argument("--cases", nargs="+", default=[*COMMANDS, *TABLES], choices=[*COMMANDS, *TABLES], metavar="CASE", help="cases to measure")
    parser.add_argument("--tables", nargs=3, metavar=("KIND", "CONFIG", "FOLDER"), help="build the tables of a rank: what a case does in its process")
    args = parser.parse_args(argv)
    if args.tables:
        build_tables(args.tables[0], args.tables[1], Path(args.tables[2]))
        return
    results = {size: measure(args.work / str(size), size, args.cases) for size in args.utterances}
    print(table(results))


def measure(folder: Path, utterances: int, cases: list[str]) -> dict[str, list[float]]:
    """case -> [seconds of CPU, peak MB]; made and kept one after the other."""
    make_corpus(folder, utterances)
    path = folder / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for case in cases:
        if case not in known:
            known[case] = _run(case, folder)
            with atomic_write(path) as stream:
                json.dump(known, stream, indent=1)
        print(f"{utterances} utterances, {case}: {known[case][0]:.1f} s, {known[case][1]:.0f} MB", file=sys.stderr)
    return known


def _run(case: str, folder: Path) -> list[float]:
    if case in COMMANDS:
        name, *options = COMMANDS[case].split()
        command = [sys.executable, "-m", f"asrlib.bin.{name}", *options]
    else:
        kind, config = TABLES[case]
        command = [sys.executable, __file__, "--work", str(folder), "--tables", kind, str(ROOT / config), "."]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{case} ended with exit code {process.returncode}: see {folder / 'log'}")
    return [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]


def build_tables(kind: str, config: str, folder: Path) -> None:
    """What a process of stage 3 does before its first batch, without the digest of the audio."""
    if kind == "history":
        from asrlib.ms.training.history import History

        History(folder / "history").draw()
        return
    if kind == "ctc":
        from asrlib.config.families import load_train_config
        from asrlib.ms.data.batches import make_buckets
        from asrlib.ms.data.dataset import Dataset
        from asrlib.text.tokenizers import load_tokenizer

        settings = load_train_config(config, [])
        data = Dataset(folder, load_tokenizer(folder / "characters.txt"), settings, train=True)
        data.set_aside(folder / "out" / "aside.tsv")
        make_buckets(data, settings.batch.buckets, settings.batch.batch_size, settings.batch.batch_seconds)
        print(data.fingerprint())
        return
    from asrlib.config.families import load_pretrain_config
    from asrlib.ms.data import waveforms

    settings = load_pretrain_config(config, [])
    wavs = waveforms.WaveformSet(folder, waveforms.Targets.read(folder / "targets", "km", settings, True), settings, train=True)
    wavs.set_aside(folder / "out" / "aside.tsv")
    print(waveforms.make_buckets(wavs))


def table(results: dict[int, dict[str, list[float]]]) -> str:
    """Markdown: seconds of CPU and peak memory at every size; growth: time of the last size over that of the first, per utterance."""
    sizes = list(results)
    lines = ["| command |" + "".join(f" {size:,} utterances |" for size in sizes) + " growth |", "|---|" + "---:|" * (len(sizes) + 1)]
    for case in next(iter(results.values())):
        cells = [results[size].get(case) for size in sizes]
        shown = [f"{cell[0]:.0f} s, {cell[1] / 1000:.2f} GB" if cell else "-" for cell in cells]
        growth = f"{cells[-1][0] / cells[0][0] * sizes[0] / sizes[-1]:.2f}" if cells[0] and cells[-1] else "-"
        lines.append(f"| {case} | " + " | ".join(shown) + f" | {growth} |")
    return "\n".join(lines)


def make_corpus(folder: Path, utterances: int) -> None:
    """The files of a corpus: text, two hypotheses, tables of audio and features, targets, a history. Finished ones are kept."""
    if (folder / "complete").exists():
        return
    begin = time.time()
    for place in ("dev", "out", "targets", "history"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    _texts(folder, utterances)
    _write(folder / "dev" / "text", (f"d{number} A SENTENCE OF NOBODY {number}" for number in range(5000)))
    ids, frames = list(_ids(utterances)), np.random.default_rng(2).integers(100, int(2 * SECONDS * 50), size=utterances)
    values = {
        "utt2spk": lambda number: ids[number].partition("-")[0],
        "wav.scp": lambda number: f"/corpora/large/{ids[number].replace('-', '/')}.flac",
        "utt2dur": lambda number: f"{frames[number] / 50:.6f}",
        "utt2num_frames": lambda number: str(2 * frames[number] + 1),
        "feats.scp": lambda number: f"/dump/large/feats.{number * 32 // utterances}.ark:{number * 4000 + 27}",
    }
    for name, value in values.items():
        _write(folder / name, (f"{utt} {value(number)}" for number, utt in enumerate(ids)))
    _write(folder / "characters.txt", [*sorted("ETAOINSHRDLUCMFWYPVBGK"), "<space>", "<blank>"])
    _targets(folder, ids, frames)
    rows = ({"update": n, "epoch": n / 1000, "seconds": n * 0.5, "loss": 3 + 1 / n, "learning_rate": 1e-4} for n in range(1, utterances + 1))
    _write(folder / "history" / "history.jsonl", map(json.dumps, rows))
    (folder / "complete").touch()
    print(f"{folder}: {utterances} utterances made in {time.time() - begin:.0f} s", file=sys.stderr)


def _ids(utterances: int) -> Iterator[str]:
    return (f"{100 + number * 2338 // utterances:05d}-{1000 + number * 5000 // utterances:06d}-{number:07d}" for number in range(utterances))


def _write(path: Path, lines) -> None:
    with atomic_write(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _words() -> np.ndarray:
    rng, letters, found = np.random.default_rng(1), "ETAOINSHRDLUCMFWYPVBGK", dict[str, None]()
    while len(found) < WORDS:
        length = max(1, int(rng.normal(2 + np.log10(len(found) + 10) * 1.3, 1.6)))
        found["".join(letters[i] for i in np.minimum(rng.geometric(0.12, length) - 1, len(letters) - 1))] = None
    return np.array(list(found), object)


def _texts(folder: Path, utterances: int) -> None:
    """Words by Zipf's law; in the hypotheses 8 and 7.5 % of them are replaced, left out or followed by another one."""
    words, ids, rng = _words(), _ids(utterances), np.random.default_rng(0)
    shares = np.cumsum(1 / (np.arange(WORDS) + 2.7))
    shares /= shares[-1]
    names = ("text", "hyp_a", "hyp_b")
    streams = {name: open(folder / name, "w") for name in names}  # noqa: SIM115 (closed below)
    for begin in range(0, utterances, BLOCK):
        lengths = np.clip(rng.normal(PER_UTTERANCE, 11, min(BLOCK, utterances - begin)), 1, 70).astype(int)
        ends, utts = np.cumsum(lengths), [next(ids) for _ in lengths]
        drawn = words[np.searchsorted(shares, rng.random(ends[-1]))]
        sides = [drawn]
        for rate in (0.08, 0.075):
            chance, others = rng.random(ends[-1]), words[np.searchsorted(shares, rng.random(ends[-1]))]
            side = np.where(chance < 0.7 * rate, others, drawn)
            side = np.where((chance >= 0.7 * rate) & (chance < 0.85 * rate), "", side)
            sides.append(np.where((chance >= 0.85 * rate) & (chance < rate), drawn + " " + others, side))
        for name, side in zip(names, sides, strict=True):
            for utt, last, length in zip(utts, ends, lengths, strict=True):
                streams[name].write(f"{utt} {' '.join(' '.join(side[last - length : last]).split())}\n")
    for stream in streams.values():
        stream.close()


def _targets(folder: Path, ids: list[str], frames: np.ndarray) -> None:
    """Clusters, pitch and speakers, written as asrlib.utils.arrays.save_arrays does."""
    rng, most = np.random.default_rng(3), int(frames.max())
    some = {"km": rng.integers(500, size=2 * most).astype(np.uint16), "pitch": rng.random(2 * most, np.float32)}
    for name, values in some.items():
        ends = np.cumsum(frames) * values.itemsize
        kind = "U16" if name == "km" else "F32"
        with atomic_write(folder / "targets" / f"{name}.safetensors", "wb") as stream:
            rows = zip(ids, frames.tolist(), ends.tolist(), strict=True)
            entries = [f'"{utt}":{{"dtype":"{kind}","shape":[{n}],"data_offsets":[{end - n * values.itemsize},{end}]}}' for utt, n, end in rows]
            header = ("{" + ",".join(entries) + "}").encode()
            header += b" " * (-len(header) % 8)
            stream.write(len(header).to_bytes(8, "little") + header)
            for number, n in enumerate(frames.tolist()):
                stream.write(values[number % most : number % most + n].data)
    speakers = {utt: int(utt[:5]) - 100 for utt in ids}
    with atomic_write(folder / "targets" / "speakers.json") as stream:
        json.dump({"classes": max(speakers.values()) + 1, "utterances": speakers}, stream)


if __name__ == "__main__":
    run(main)
