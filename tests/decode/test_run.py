"""Decoding of many utterances in one process or several."""

import os
import signal

import numpy as np
import pytest

from asrlib.decode import run
from asrlib.decode.beam import BeamConfig
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.decode.run import decode_all, decode_nbest
from asrlib.utils.errors import UserError

TOKENS = ["<space>", "A", "B", "<blank>"]


def test_greedy(emissions):
    clear = np.log(np.eye(4)[[1, 1, 3, 1, 0, 2]] + 1e-9)
    silent = np.log(np.eye(4)[[3, 3]] + 1e-9)
    assert decode_all([clear, silent, np.zeros((0, 4))], TOKENS, 3, "greedy") == ["AA B", "", ""]
    assert decode_all([], TOKENS, 3, "greedy") == decode_all([], TOKENS, 3, "beam") == []


def test_processes_give_what_one_gives_in_order(emissions, tmp_path):
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate([["A", "B"], ["AB", "BA"]], 2), lm)
    utterances = [emissions(5 + seed, 4, seed) for seed in range(9)]
    config = BeamConfig(lm=str(lm), nbest=3)
    one = decode_nbest(utterances, TOKENS, 3, config)
    assert decode_nbest(utterances, TOKENS, 3, config, nj=2) == one
    assert decode_all(utterances, TOKENS, 3, "beam", config) == [best[0].text for best in one]
    assert len({best[0].text for best in one}) > 3


def test_faults_of_the_options_are_told_at_once(emissions):
    with pytest.raises(UserError, match="no such language model"):
        decode_all([emissions(4, 4)] * 3, TOKENS, 3, "beam", BeamConfig(lm="none.arpa"), nj=2)


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told(emissions, monkeypatch):
    monkeypatch.setattr(run, "_start", _die)
    with pytest.raises(UserError, match="a process of the beam search was killed"):
        decode_all([emissions(4, 4)] * 3, TOKENS, 3, "beam", BeamConfig(), nj=2)
