"""AISHELL-2 (Du et al. 2018, arXiv:1808.10583), the iOS recordings: Kaldi tables from its folder.

Layout: iOS/data/{wav.scp,trans.txt} and iOS/data/wav/C0001/IC0001W0001.wav. Lines of wav.scp are `IC0001W0001 wav/C0001/IC0001W0001.wav`,
lines of trans.txt `IC0001W0001 characters`. The corpus needs a licence, so it cannot be downloaded here.

Speakers are named IC0001, so that utterance ids begin with the speaker; transcripts are unchanged except for white space. Recordings without
transcript, transcripts without recording and missing files are counted, reported and skipped. Both lists have 1,009,223 lines, as in Kaldi's
recipe, and 1,991 speakers; a complete corpus of another size gives a warning, or with check_counts "true" an error.
"""

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_table import Problem, Table, read_table
from asrlib.corpora.kaldi_validate import Rules
from asrlib.corpora.leaks import transcripts
from asrlib.corpora.pretraining import pretraining_sets
from asrlib.utils.cli import Parser, boolean, paths
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

UTTERANCES, SPEAKERS = 1009223, 1991
DATA = Path("iOS") / "data"
LICENSE = "AISHELL-2 is licensed: apply for it at http://www.aishelltech.com/aishell_2 (free for academic use)"
EXPECTED = "give the folder AISHELL-2 that holds iOS/data with wav, wav.scp and trans.txt as --corpus_dir"


def add_options(parser: Parser) -> None:
    group = parser.add_argument_group("AISHELL-2")
    aishell1 = "data_aishell, or Kaldi directories of its dev and test, or a folder with these two"
    group.add_argument("--aishell1_dir", default="", type=paths, help=aishell1)
    group.add_argument("--filter_leaks", type=boolean, default=True, help="leave out what has a transcript of AISHELL-1's dev or test")
    group.add_argument("--concat", type=int, default=6, help="utterances of a speaker that become one; 1: each stays")
    group.add_argument("--valid_portion", type=float, default=0.01, help="part of the utterances, once joined, taken for dev")
    group.add_argument("--seed", type=int, default=0, help="of the choice of that part")


def prepare_data(corpus_dir: Path, options: Namespace) -> dict[str, Repair]:
    """train and dev for pretraining (asrlib.corpora.pretraining), whose tables are written to options.data_dir.

    UserError: no folder of AISHELL-1 for the filter; as `prepare` and pretraining_sets; a fault in the corpus, without options.fix.
    """
    if options.filter_leaks and not options.aishell1_dir:
        raise UserError("--aishell1_dir is needed: AISHELL-1, whose dev and test sentences are left out; or --filter_leaks false to leave them in")
    against = transcripts(options.aishell1_dir) if options.filter_leaks else None
    corpus = accept(find(corpus_dir), prepare(corpus_dir, options.check_counts), Rules(audio=options.audio), options.fix)
    sets = pretraining_sets(corpus, against, options.comparable, options.concat, options.valid_portion, options.seed)
    sets.write_tables(options.data_dir)
    return sets.prepared


def find(corpus_dir: str | Path) -> Path:
    """The folder of wav.scp and trans.txt in AISHELL-2, AISHELL-2/iOS or AISHELL-2/iOS/data. UserError: a file is missing."""
    corpus = Path(corpus_dir)
    for folder in (corpus, corpus / "data", corpus / DATA):
        if (folder / "wav.scp").exists() or (folder / "trans.txt").exists():
            for name in ("wav", "wav.scp", "trans.txt"):
                if not (folder / name).exists():
                    raise UserError(f"{folder / name} is missing: {EXPECTED}; unpack the corpus again if it is incomplete")
            return folder
    raise UserError(f"{corpus} {'has no iOS/data/wav.scp' if corpus.is_dir() else 'is not a folder'}: {LICENSE}; {EXPECTED}")


def prepare(corpus_dir: str | Path, check_counts: str = "auto") -> dict[str, Table]:
    """Tables wav.scp (absolute paths), text, utt2spk. Invalid lines and misnamed files are Problems of the tables.

    UserError: no such corpus, no recording with a transcript, with check_counts "true" an unexpected number of utterances.
    """
    folder = find(corpus_dir)
    listed, spoken = read_table(folder / "wav.scp"), read_table(folder / "trans.txt")
    tables = {"wav.scp": _empty(listed, "wav.scp"), "text": _empty(spoken, "text"), "utt2spk": Table(folder / "utt2spk")}
    texts = {utt: text for utt, text in ((utt, _printable(text)) for utt, text in spoken.rows.items()) if text}
    _report_skipped(sorted(listed.rows.keys() - texts.keys() - spoken.bad), "recordings without a transcript")
    _report_skipped(sorted(texts.keys() - listed.rows.keys() - listed.bad), "transcripts without a recording in wav.scp")
    missing = []
    for utt, path in _files(folder, {utt: listed.rows[utt] for utt in sorted(listed.rows.keys() & texts.keys())}).items():
        if path is None:
            missing.append(utt)
            continue
        speaker = utt.rpartition("W")[0]
        if not (Path(path).stem == utt and speaker.endswith(Path(path).parent.name)):
            what, detail = "the path does not match the utterance id", f"{utt} {listed.rows[utt]}"
            fix = "correct the line (IC0001W0001 wav/C0001/IC0001W0001.wav), or --fix true drops it"
            tables["wav.scp"].problems.append(Problem(folder / "wav.scp", listed.lines[utt], what, detail, fix, drop=utt))
        tables["wav.scp"].rows[utt], tables["text"].rows[utt], tables["utt2spk"].rows[utt] = path, texts[utt], speaker or utt
    _report_skipped(missing, "recordings in wav.scp whose file is missing")
    if not tables["utt2spk"].rows:
        raise UserError(f"{folder} has no recording with a transcript: {EXPECTED}")
    _check_count(folder, tables, check_counts)
    return tables


def _empty(source: Table, name: str) -> Table:
    """A table without rows, with the source's line numbers and those of its problems that invalidate a line (not order or line ends)."""
    kept = [replace(p, source=name) for p in source.problems if p.fatal or (p.drop is not None and source.rows.get(p.drop) != "")]
    return Table(source.path, {}, source.lines, {p.drop for p in kept if p.drop}, kept)


def _printable(text: str) -> str:
    """A transcript in which every run of white space and non-printable characters is a single space, as Kaldi directories require."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _files(folder: Path, rows: dict[str, str]) -> dict[str, str | None]:
    """Utterance -> absolute path of its file, or None if it is missing. Listing folders is faster than testing each of a million files."""
    top, found, files = os.path.abspath(folder), {}, {}
    for utt in progress(rows, desc="files of AISHELL-2", unit="file", delay=2):
        path = os.path.join(top, rows[utt])
        parent, name = os.path.split(path)
        if parent not in found:
            found[parent] = set(os.listdir(parent)) if os.path.isdir(parent) else set()
        files[utt] = path if name in found[parent] else None
    return files


def _report_skipped(utts: list[str], what: str) -> None:
    if utts:
        names = f"{', '.join(utts[:3])}{' ...' if len(utts) > 3 else ''}"
        log.warning(f"AISHELL-2: skipped {len(utts)} {what}: {names}")


def _check_count(folder: Path, tables: dict[str, Table], check_counts: str) -> None:
    found, speakers = len(tables["utt2spk"].rows), len(set(tables["utt2spk"].rows.values()))
    if check_counts == "true" and found != UTTERANCES:
        remedy = "unpack the corpus again, or give --check_counts auto for a part of it"
        raise UserError(f"{folder} has {found} utterances, AISHELL-2 has {UTTERANCES}: {remedy}")
    if check_counts == "auto" and speakers >= SPEAKERS and found != UTTERANCES:
        log.warning(f"{folder} has {found} utterances of {speakers} speakers, AISHELL-2 has {UTTERANCES} of {SPEAKERS}")
    else:
        log.info(f"AISHELL-2: {found} of the corpus's {UTTERANCES} utterances, {speakers} speakers")
