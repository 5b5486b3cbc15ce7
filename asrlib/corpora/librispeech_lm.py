"""The n-gram language models of LibriSpeech (Panayotov et al. 2015, https://www.openslr.org/11): upper-case words, gzipped ARPA files.

The beam search reads the gzipped files.
"""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from asrlib.corpora import fetch
from asrlib.utils.errors import UserError

URL = "https://www.openslr.org/resources/11"

# name -> md5 (as in recipes of other toolkits), approximate size in GB
MODELS = {
    "3-gram.pruned.3e-7": ("8f67ec741827742eee05799ab7605b50", 0.02),
    "3-gram.pruned.1e-7": ("9a0f1325bcaf3a0f7b7be4be10823c2a", 0.04),
    "3-gram": ("74cbb837e582378c26c602e1c8cbcb9c", 0.8),
    "4-gram": ("6abdcd5b055bd482e4f9defe91d40408", 1.4),
}


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `download`."""
    download(download_dir, options.sets.split(), options.mirror or URL)


def download(download_dir: str | Path, names: Iterable[str], mirror: str = URL) -> list[Path]:
    """Downloads models to download_dir/librispeech_lm/NAME.arpa.gz; skips complete ones, resumes interrupted downloads, verifies md5.

    UserError: an unknown name, no network, not enough disk space, wrong checksum twice.
    """
    folder, names = Path(download_dir) / "librispeech_lm", list(dict.fromkeys(names))
    for name in names:
        if name not in MODELS:
            raise UserError(f"LibriSpeech has no language model {name!r}: choose --sets from {', '.join(MODELS)}")
    files = [folder / f"{name}.arpa.gz" for name in names]
    fetch.check_disk(folder, sum(MODELS[name][1] for name, file in zip(names, files, strict=True) if not file.exists()))
    return [fetch.download(f"{mirror.rstrip('/')}/{file.name}", file, md5=MODELS[name][0]) for name, file in zip(names, files, strict=True)]
