"""Digests of audio files: content counts, not place and time."""

import os
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from asrlib.corpora.channels import Channel
from asrlib.corpora.fingerprint import audio_digest, file_digest
from asrlib.corpora.kaldi_table import read_table
from asrlib.utils.errors import UserError


def test_content_counts(tmp_path):
    rng = np.random.default_rng(0)
    path, copy = str(tmp_path / "a.wav"), str(tmp_path / "b c.wav")
    soundfile.write(path, 0.1 * rng.normal(size=32000), 16000)
    before = file_digest(path)
    shutil.copy(path, copy)
    os.utime(copy, (1, 1))
    assert file_digest(copy) == before
    soundfile.write(path, 0.1 * rng.normal(size=32000), 16000)
    assert file_digest(path) != before, "the same size"
    assert audio_digest([path, copy]) != audio_digest([copy, path])
    assert audio_digest(["sox a.flac -t wav - |"]) == "sox a.flac -t wav - |"


@pytest.mark.parametrize("size", [0, 1, 5000, 9000])
def test_every_byte_of_a_small_file_counts(tmp_path, size):
    content = bytearray(size)
    (tmp_path / "x").write_bytes(content)
    digests = {file_digest(str(tmp_path / "x"))}
    for place in range(0, size, 997):
        content[place] = 1
        (tmp_path / "x").write_bytes(content)
        digests.add(file_digest(str(tmp_path / "x")))
        content[place] = 0
    assert len(digests) == 1 + len(range(0, size, 997))


def test_missing(tmp_path):
    with pytest.raises(UserError, match="absent.wav: No such file or directory: check the path"):
        file_digest(str(tmp_path / "absent.wav"))


def test_entries_of_an_archive_and_channels_count(tmp_path):
    rng, ark = np.random.default_rng(0), str(tmp_path / "data.ark")
    pcm = {utt: (16000, (3000 * rng.normal(size=8000)).astype(np.int16)) for utt in "abc"}

    def digests(**entries):
        kaldiio.save_ark(ark, pcm | entries, scp=str(tmp_path / "wav.scp"))
        return {utt: audio_digest([value]) for utt, value in read_table(tmp_path / "wav.scp").rows.items()}

    before = digests()
    assert len({*before.values()}) == 3
    after = digests(b=(16000, (3000 * rng.normal(size=8000)).astype(np.int16)))
    assert [utt for utt in before if before[utt] != after[utt]] == ["b"]
    assert len({audio_digest([ark], channels) for channels in ((), (Channel(0),), (Channel(1),))}) == 3
