"""LibriSpeech's language models: download from a local server, and use in the beam search without unpacking."""

import functools
import gzip
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from asrlib.bin import download
from asrlib.corpora import librispeech_lm
from asrlib.decode.beam import BeamConfig, BeamDecoder
from asrlib.text.tokenizers import load_tokenizer
from asrlib.utils.errors import UserError

# Like LibriSpeech's models: upper case, apostrophes, <UNK>, no weights where they are 0
ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-2.0\t<UNK>
-99\t<s>\t-0.3
-1.0\t</s>
-1.5\tDON'T\t-0.3
-1.5\tDONE\t-0.3
-1.0\tGO

\\2-grams:
-0.2\t<s> DON'T
-0.1\tDON'T GO
-0.2\tGO </s>

\\end\\
"""
NAME = "3-gram.pruned.3e-7"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """URL of a server that has one model, whose checksum is the published one."""
    (tmp_path / "web").mkdir()
    packed = gzip.compress(ARPA.encode())
    (tmp_path / "web" / f"{NAME}.arpa.gz").write_bytes(packed)
    monkeypatch.setitem(librispeech_lm.MODELS, NAME, (hashlib.md5(packed).hexdigest(), 1e-6))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetched_once(mirror, tmp_path):
    arguments = ["--corpus", "librispeech_lm", "--download_dir", str(tmp_path / "downloads"), "--sets", NAME, "--mirror", mirror]
    download.main(arguments)
    file = tmp_path / "downloads/librispeech_lm" / f"{NAME}.arpa.gz"
    assert gzip.decompress(file.read_bytes()).decode() == ARPA
    (tmp_path / "web" / file.name).unlink()
    download.main(arguments)


def test_another_content_is_refused(mirror, tmp_path):
    (tmp_path / "web" / f"{NAME}.arpa.gz").write_bytes(gzip.compress(ARPA.replace("GO", "NO").encode()))
    with pytest.raises(UserError, match="wrong checksum twice"):
        librispeech_lm.download(tmp_path, [NAME], mirror)
    assert not list((tmp_path / "librispeech_lm").iterdir())


def test_unknown_model(tmp_path):
    with pytest.raises(UserError, match="no language model '5-gram': choose --sets from 3-gram.pruned.3e-7, 3-gram.pruned.1e-7, 3-gram, 4-gram"):
        librispeech_lm.download(tmp_path, [NAME, "5-gram"])


def test_the_beam_reads_it_packed(mirror, tmp_path, root):
    """DONT GO in the acoustics becomes DON'T GO, which the model knows."""
    (file,) = librispeech_lm.download(tmp_path, [NAME], mirror)
    tokens = load_tokenizer(root / "conf/labels_en.txt")
    path = [tokens.tokens.index(token) for token in ["D", "O", "N", "T", "<space>", "G", "O"]]
    log_probs = np.full((2 * len(path), len(tokens.tokens)), np.log(1e-3), np.float32)
    log_probs[::2, tokens.blank], log_probs[1::2, tokens.blank] = np.log(0.9), np.log(0.05)
    log_probs[range(1, len(log_probs), 2), path] = np.log(0.9)
    assert BeamDecoder(tokens.tokens, tokens.blank, BeamConfig()).decode(log_probs)[0].text == "DONT GO"
    assert BeamDecoder(tokens.tokens, tokens.blank, BeamConfig(lm=str(file))).decode(log_probs)[0].text == "DON'T GO"
