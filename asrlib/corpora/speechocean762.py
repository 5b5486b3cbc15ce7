"""speechocean762 (Zhang et al. 2021, https://www.openslr.org/101): download, and Kaldi directories from its folder.

Read English of 250 speakers whose first language is Mandarin, half of them children, 16 kHz: prompts of which some words are mispronounced, so that
the corpus is for pretraining rather than for error rates.

Layout: speechocean762/{train,test}/{wav.scp,text,utt2spk}, with paths such as WAVE/SPEAKER0001/000010011.WAV that start from the top folder. Its ids
do not begin with the speaker (000010011, 0001); here they are SPEAKER0001-000010011 and SPEAKER0001, which no other corpus has.
"""

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from asrlib.corpora import fetch
from asrlib.corpora.kaldi_dir import read_tables
from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_table import Problem, Table
from asrlib.corpora.kaldi_validate import Rules
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

URL = "https://www.openslr.org/resources/101"
ARCHIVE, GIGABYTES = "speechocean762.tar.gz", 0.6
SETS = ("train", "test")
UTTERANCES, SPEAKERS = 2500, 125  # of each set
EXPECTED = "give the folder speechocean762, with WAVE, train and test in it, as --corpus_dir"


def download_data(download_dir: Path, options: Namespace) -> None:
    """Makes download_dir/speechocean762; a complete one is kept. OpenSLR publishes no checksum: `prepare` counts what was unpacked.

    UserError: no network, not enough disk space, a damaged or unsafe archive.
    """
    mark = download_dir / ".speechocean762.complete"
    if mark.exists():
        log.info("%s is complete: skipping the download", download_dir / "speechocean762")
        return
    fetch.check_disk(download_dir, 3 * GIGABYTES)
    archive = fetch.download(f"{(options.mirror or URL).rstrip('/')}/{ARCHIVE}", download_dir / ARCHIVE)
    fetch.extract_archive(archive, download_dir, into=("speechocean762",), mark=mark)
    if options.remove_archive:
        archive.unlink()


def prepare_data(corpus_dir: Path, options: Namespace) -> dict[str, Repair]:
    """train and test, those that are there (asrlib.corpora.registry). UserError: neither is; as `prepare`; a fault in a set, without options.fix."""
    names = [name for name in SETS if (corpus_dir / name).is_dir()]
    if not names:
        raise UserError(f"{corpus_dir} has neither train nor test: {EXPECTED}")
    rules = {name: Rules(audio=options.audio, keep_all=name == "test") for name in names}
    return {name: accept(corpus_dir / name, prepare(corpus_dir, name, options.check_counts), rules[name], options.fix) for name in names}


def prepare(corpus_dir: str | Path, name: str, check_counts: str = "auto") -> dict[str, Table]:
    """Tables of a set: wav.scp (absolute paths), text (upper case), utt2spk. Invalid lines are Problems of the tables.

    UserError: a file is missing, an unexpected number of utterances (check_counts "auto": if all speakers are there; "true"; "false").
    """
    folder = Path(corpus_dir) / name
    found = read_tables(folder)
    for file in ("wav.scp", "text", "utt2spk"):
        if file not in found:
            raise UserError(f"{folder / file} is missing: {EXPECTED}")
    top, people = os.path.abspath(corpus_dir), found["utt2spk"].rows
    values = {
        "wav.scp": lambda utt: os.path.join(top, found["wav.scp"].rows[utt]),
        "text": lambda utt: " ".join(found["text"].rows[utt].upper().split()),
        "utt2spk": lambda utt: f"SPEAKER{people[utt]}",
    }
    tables = {}
    for file, value in values.items():
        rows = {f"SPEAKER{people[utt]}-{utt}": value(utt) for utt in sorted(found[file].rows) if utt in people}
        tables[file] = Table(found[file].path, dict(sorted(rows.items())), problems=_problems(found[file], people))
    _check_count(folder, tables["utt2spk"].rows, check_counts)
    return tables


def _problems(table: Table, people: dict[str, str]) -> list[Problem]:
    """Invalid lines and utterances without a speaker, which have no id here; order and line ends do not matter."""
    invalid = [replace(problem, fatal=True) for problem in table.problems if problem.fatal or problem.drop is not None]
    unknown = sorted(table.rows.keys() - people.keys())
    fix = "add its speaker, or remove the line"
    return invalid + [Problem(table.path, table.lines.get(utt), "id is not in utt2spk", utt, fix, fatal=True) for utt in unknown]


def _check_count(folder: Path, utt2spk: dict[str, str], check_counts: str) -> None:
    found, speakers = len(utt2spk), len(set(utt2spk.values()))
    if check_counts == "false" or (check_counts == "auto" and speakers < SPEAKERS):
        log.info("%s: a part of the set, %d of %d utterances, %d of %d speakers", folder, found, UTTERANCES, speakers, SPEAKERS)
    elif (found, speakers) != (UTTERANCES, SPEAKERS):
        remedy = "unpack the archive again, or give --check_counts false for a part of it"
        raise UserError(f"{folder} has {found} utterances of {speakers} speakers, the set has {UTTERANCES} of {SPEAKERS}: {remedy}")
