"""CPU time and memory of the commands on a simulated corpus of many utterances, each command in its own process.

  tools/bench/large_corpus.py --work WORK --utterances 20000 281241 4000000 --most_seconds 600

Makes the tables of a corpus in WORK (drawn words and errors; the utterances share 200 short recordings of noise) and prints a table: seconds of CPU
and peak memory of every command at each size, and the growth between the first and the last. What is known of a size is in WORK/SIZE/results.json
and not measured again; --most_seconds leaves out what the size before predicts to take longer.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from asrlib.utils.cli import Parser, run
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[2]
WORDS, PER_UTTERANCE, SECONDS, BLOCK, RECORDINGS = 200_000, 33, 12.3, 10_000, 200
COMMANDS = {  # case: the command, and what it needs of the corpus
    "score, words": ("score --ref text --hyp hyp_a --unit word --out out/word", "texts"),
    "score, characters": ("score --ref text --hyp hyp_a --unit char --out out/char", "texts"),
    "compare_systems, words": ("compare_systems --ref text --hyp_a hyp_a --hyp_b hyp_b --unit word --out out/compared", "texts"),
    "compare_systems, characters": ("compare_systems --ref text --hyp_a hyp_a --hyp_b hyp_b --unit char --out out/compared_char", "texts"),
    "make_ngram, 3-gram": ("make_ngram --text text --order 3 --out out/lm.arpa", "texts"),
    "make_tokens, words": ("make_tokens --type word --text text --out out/words.txt", "texts"),
    "make_tokens, SentencePiece 500": ("make_tokens --type sentencepiece --text text --out out/pieces.txt", "texts"),
    "prepare_data, headers": ("prepare_data --corpus kaldi --train_dir . --valid_portion 0.001 --data_dir out/data", "texts tables audio"),
    "filter_leaks": ("filter_leaks --data_dir . --against dev --out out/filtered", "texts tables dev"),
    "concat_data": ("concat_data --data_dir . --out out/joined", "texts tables"),
    "manifest, CSV": ("manifest --from . --to out/train.csv", "texts tables"),
    "manifest, JSON lines": ("manifest --from . --to out/train.jsonl", "texts tables"),
    "manifest, Jasper's JSON": ("manifest --from . --to out/train.json", "texts tables audio"),
}
TABLES = {  # case: kind, configuration, and what it needs
    "tables of a CTC rank": ("ctc", "conf/deepspeech2.yaml", "texts tables"),
    "tables of a HuBERT rank": ("pretrain", "conf/hubert_base.yaml", "texts tables targets"),
    "tables of a ProgRE rank": ("pretrain", "conf/progre_base.yaml", "texts tables targets"),
    "tables of a wav2vec 2.0 rank": ("pretrain", "conf/wav2vec2_base.yaml", "texts tables"),
    "history of as many updates": ("history", "", "history"),
}
Results = dict[str, list[float]]  # case -> seconds of CPU, peak MB, seconds


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpora and results")
    parser.add_argument("--utterances", type=int, nargs="+", default=[20_000, 80_000], help="sizes of the corpora")
    parser.add_argument("--cases", nargs="+", default=[*COMMANDS, *TABLES], choices=[*COMMANDS, *TABLES], metavar="CASE", help="cases to measure")
    parser.add_argument("--most_seconds", type=float, default=float("inf"), help="leave out cases that are likely to take more CPU time")
    parser.add_argument("--tables", nargs=3, metavar=("KIND", "CONFIG", "FOLDER"), help="build the tables of a rank: what a case does in its process")
    args = parser.parse_args(argv)
    if args.tables:
        build_tables(args.tables[0], args.tables[1], Path(args.tables[2]))
        return
    results: dict[int, Results] = {}
    for size in args.utterances:
        likely = {case: found[0] * size / known for known, sized in results.items() for case, found in sized.items()}
        results[size] = measure(args.work / str(size), size, [case for case in args.cases if likely.get(case, 0) <= args.most_seconds])
    print(table(args.cases, results))


def measure(folder: Path, utterances: int, cases: list[str]) -> Results:
    """What the cases take, made and kept one after the other."""
    path = folder / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for case in cases:
        if case not in known:
            make_corpus(folder, utterances, (COMMANDS | TABLES)[case][-1].split())
            known[case] = _run(case, folder)
            with atomic_write(path) as stream:
                json.dump(known, stream, indent=1)
        seconds, memory, elapsed = known[case]
        print(f"{utterances} utterances, {case}: {seconds:.1f} s of CPU in {elapsed:.0f} s, {memory:.0f} MB", file=sys.stderr)
    return {case: known[case] for case in cases}


def _run(case: str, folder: Path) -> list[float]:
    if case in COMMANDS:
        name, *options = COMMANDS[case][0].split()
        command = [sys.executable, "-m", f"asrlib.bin.{name}", *options]
    else:
        kind, config, _ = TABLES[case]
        command = [sys.executable, __file__, "--work", str(folder), "--tables", kind, str(ROOT / config), "."]
    begin = time.time()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{case} ended with exit code {process.returncode}: see {folder / 'log'}")
    return [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, time.time() - begin]


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


def table(cases: list[str], results: dict[int, Results]) -> str:
    """Markdown: seconds of CPU and peak memory at every size; growth: time of the last size over that of the first, per utterance."""
    lines = ["| command |" + "".join(f" {size:,} utterances |" for size in results) + " growth |", "|---|" + "---:|" * (len(results) + 1)]
    for case in cases:
        cells = {size: found[case] for size, found in results.items() if case in found}
        shown = [f"{cells[size][0]:.0f} s, {cells[size][1] / 1000:.2f} GB" if size in cells else "-" for size in results]
        first, last = min(cells), max(cells)
        growth = f"{cells[last][0] / cells[first][0] * first / last:.2f}" if first < last else "-"
        lines.append(f"| {case} | " + " | ".join(shown) + f" | {growth} |")
    return "\n".join(lines)


def make_corpus(folder: Path, utterances: int, parts: list[str]) -> None:
    """These parts of a corpus; finished ones are kept."""
    makers = {"texts": _texts, "tables": _tables, "audio": _audio, "dev": _dev, "targets": _targets, "history": _history}
    for part in parts:
        mark = folder / f"{part}.complete"
        if not mark.exists():
            begin = time.time()
            (folder / "out").mkdir(parents=True, exist_ok=True)
            process = multiprocessing.get_context("fork").Process(target=makers[part], args=(folder, utterances))
            process.start()  # the memory of this process would count as that of the commands that it starts
            process.join()
            if process.exitcode:
                raise UserError(f"{folder}: {part} cannot be made: see above, or give another --work")
            mark.touch()
            print(f"{folder}: {part} of {utterances} utterances made in {time.time() - begin:.0f} s", file=sys.stderr)


def _frames(utterances: int) -> np.ndarray:
    """Frames of 20 ms of the utterances."""
    return np.random.default_rng(2).integers(100, int(2 * SECONDS * 50), size=utterances)


def _tables(folder: Path, utterances: int) -> None:
    """Tables of audio and of features; the audio is that of `_audio`."""
    values = {
        "utt2spk": lambda number, utt, frames: utt.partition("-")[0],
        "wav.scp": lambda number, utt, frames: folder.absolute() / "audio" / f"{number % RECORDINGS}.flac",
        "utt2dur": lambda number, utt, frames: f"{frames / 50:.6f}",
        "utt2num_frames": lambda number, utt, frames: 2 * frames + 1,
        "feats.scp": lambda number, utt, frames: f"/dump/large/feats.{number * 32 // utterances}.ark:{number * 4000 + 27}",
    }
    for name, value in values.items():
        rows = zip(_ids(utterances), map(int, _frames(utterances)), strict=True)
        _write(folder / name, (f"{utt} {value(number, utt, frames)}" for number, (utt, frames) in enumerate(rows)))
    _write(folder / "characters.txt", [*sorted("ETAOINSHRDLUCMFWYPVBGK"), "<space>", "<blank>"])


def _audio(folder: Path, utterances: int) -> None:
    rng = np.random.default_rng(4)
    (folder / "audio").mkdir(exist_ok=True)
    for number in range(RECORDINGS):
        samples = 0.05 * rng.standard_normal(int(16000 * rng.uniform(2, 2 * SECONDS)))
        soundfile.write(folder / "audio" / f"{number}.flac", samples, 16000, subtype="PCM_16")


def _dev(folder: Path, utterances: int) -> None:
    (folder / "dev").mkdir(exist_ok=True)
    _write(folder / "dev" / "text", (f"d{number} A SENTENCE OF NOBODY {number}" for number in range(5000)))


def _history(folder: Path, utterances: int) -> None:
    (folder / "history").mkdir(exist_ok=True)
    rows = ({"update": n, "epoch": n / 1000, "seconds": n * 0.5, "loss": 3 + 1 / n, "learning_rate": 1e-4} for n in range(1, utterances + 1))
    _write(folder / "history" / "history.jsonl", map(json.dumps, rows))


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


def _targets(folder: Path, utterances: int) -> None:
    """Clusters, pitch and speakers as asrlib.utils.arrays.save_arrays writes them; all values are zeros that take no space on the disk."""
    (folder / "targets").mkdir(exist_ok=True)
    frames = _frames(utterances).tolist()
    for name, kind, size in (("km", "U16", 2), ("pitch", "F32", 4)):
        with atomic_write(folder / "targets" / f"{name}.safetensors", "wb") as stream:
            stream.write(bytes(8) + b"{")
            end = 0
            for number, (utt, n) in enumerate(zip(_ids(utterances), frames, strict=True)):
                entry = f'"{utt}":{{"dtype":"{kind}","shape":[{n}],"data_offsets":[{end},{end + n * size}]}}'
                stream.write(b"," * bool(number) + entry.encode())
                end += n * size
            stream.write(b"}" + b" " * (-(stream.tell() + 1 - 8) % 8))
            data = stream.tell()
            stream.seek(0)
            stream.write((data - 8).to_bytes(8, "little"))
            stream.truncate(data + end)
    with atomic_write(folder / "targets" / "speakers.json") as stream:
        stream.write(f'{{"classes": {(utterances - 1) * 2338 // utterances + 1}, "utterances": {{')
        stream.writelines(f'{", " * bool(number)}"{utt}": {int(utt[:5]) - 100}' for number, utt in enumerate(_ids(utterances)))
        stream.write("}}")


if __name__ == "__main__":
    run(main)
