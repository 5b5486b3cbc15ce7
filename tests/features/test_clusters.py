"""Clusters of a small directory: learnt, applied again, with and without transcripts."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asrlib.corpora.kaldi_dir import Utterance
from asrlib.features.clusters import Learning, cluster_targets
from asrlib.features.targets import Jobs, MfccFrames
from asrlib.utils.arrays import read_safetensors
from asrlib.utils.backend import LOCAL


@pytest.fixture
def utterances(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.normal(size=8000), 16000)
    return [Utterance(f"a-{number}", "a", (str(tmp_path / f"{number}.wav"),), text="AB") for number in range(3)]


def test_what_is_learnt_can_be_applied(utterances, tmp_path):
    jobs, path = Jobs(1, LOCAL, tmp_path / "log"), tmp_path / "a.b.safetensors"
    labels, quality, bad = cluster_targets(utterances, MfccFrames(), path, Learning("mfcc", 4, portion=1.0, inits=1), jobs)
    assert sorted(labels) == ["a-0", "a-1", "a-2"] and not bad and 0 <= quality["pnmi"] <= 1
    centroids = tmp_path / "a.b.centroids.safetensors"
    assert read_safetensors(centroids)["centroids"].shape[0] == 4 and (tmp_path / "a.b.quality.json").is_file()
    silent = [replace(utterance, text=None) for utterance in utterances]
    again, quality, _ = cluster_targets(silent, MfccFrames(), tmp_path / "c.safetensors", centroids, jobs)
    assert all(np.array_equal(again[utt], labels[utt]) for utt in labels)
    assert quality == {} and not (tmp_path / "c.quality.json").exists()
