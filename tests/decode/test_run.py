"""Decoding of many utterances in one process or several."""

import os
import signal

import numpy as np
import pytest

from asrlib.corpora.kaldi_table import read_table
from asrlib.decode import run
from asrlib.decode.beam import BeamConfig
from asrlib.decode.greedy import tokens_to_text
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.decode.run import decode_all, decode_nbest, write_hypotheses
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
    one = decode_nbest(utterances, TOKENS, 3, "beam", config)
    assert decode_nbest(utterances, TOKENS, 3, "beam", config, nj=2) == one
    assert decode_all(utterances, TOKENS, 3, "beam", config) == [best[0].text for best in one]
    assert len({best[0].text for best in one}) > 3


def test_hypotheses_in_the_layout_of_espnet(emissions, tmp_path):
    """As espnet2.bin.asr_inference writes them: n best folders of text, token, token_int and score."""
    config, names = BeamConfig(nbest=3), ["u1", "u2", "u3"]
    utterances = [emissions(6, 4, 1), emissions(7, 4, 2), np.zeros((0, 4))]
    found = dict(zip(names, decode_nbest(utterances, TOKENS, 3, "beam", config), strict=True))
    write_hypotheses(tmp_path, found, TOKENS, 3, 1.0, 0.1, {})
    for n in range(3):
        folder = tmp_path / f"{n + 1}best_recog"
        tables = {name: read_table(folder / name).rows for name in ("text", "token", "token_int", "score")}
        known = names if n == 0 else names[:2]
        assert all(list(rows) == known for rows in tables.values()), "no row for what has fewer hypotheses"
        for utt in known:
            best = found[utt][n]
            ids = [int(i) for i in tables["token_int"][utt].split()]
            assert tables["text"][utt] == best.text == tokens_to_text(ids, TOKENS) and float(tables["score"][utt]) == pytest.approx(
                best.score, abs=1e-6
            )
            assert tables["token"][utt].split() == [TOKENS[i] for i in ids]
    assert (tmp_path / "text").read_text() == (tmp_path / "1best_recog/text").read_text()
    write_hypotheses(tmp_path / "plain", found, TOKENS, 0, 1.0, 0.1, {})
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["rtf.json", "text"]


def test_faults_of_the_options_are_told_at_once(emissions):
    with pytest.raises(UserError, match="no such language model"):
        decode_all([emissions(4, 4)] * 3, TOKENS, 3, "beam", BeamConfig(lm="none.arpa"), nj=2)


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told(emissions, monkeypatch):
    monkeypatch.setattr(run, "_start", _die)
    with pytest.raises(UserError, match="a process of the beam search was killed"):
        decode_all([emissions(4, 4)] * 3, TOKENS, 3, "beam", BeamConfig(), nj=2)
