"""The data directories of a recipe: data/train, data/dev and the test sets, validated before they are written."""

from pathlib import Path

from asrlib.corpora.kaldi_fix import BAD_UTTS, Repair
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def write(prepared: dict[str, Repair], data_dir: Path) -> None:
    """Writes the directories and logs their sizes and what was dropped; warns of utterances that train shares with another set."""
    for name in [name for name in prepared if name != "train" and "train" in prepared]:
        common = prepared["train"].data.utt2spk.keys() & prepared[name].data.utt2spk.keys()
        if common:
            log.warning(f"train and {name} share {len(common)} utterances, among them {min(common)}: results on {name} are not valid")
    for name, result in prepared.items():
        result.write(data_dir / name)
        speakers = len(set(result.data.utt2spk.values()))
        log.info(f"Successfully validated data-directory {data_dir / name}: {len(result.data)} utterances of {speakers} speakers")
        if result.dropped:
            log.warning(f"{name}: {result.summary}; the others are listed with their reasons in {data_dir / name / BAD_UTTS}")
