"""What a process imports, each in its own process."""

import subprocess
import sys


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_decoding_imports_neither_tasks_nor_transformers():
    loaded = run("import asrlib.pt.recogniser, s3prl.nn, sys; print(*sys.modules)")
    assert "s3prl.hub" in loaded
    assert not {"transformers", "nltk", "inflect", "espnet2.tasks.asr", "matplotlib", "sklearn"} & set(loaded)


def test_an_upstream_of_another_library_is_still_there():
    """The stand-in has the names of the file, and a call imports the file."""
    code = """
import asrlib.pt, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
from s3prl import hub
print(*hub.options())
entry = hub.hf_hubert_custom
try:
    entry("no such model")
except OSError:
    print("called")
real = sys.modules["s3prl.upstream.hf_hubert.hubconf"]
print(entry is not real.hf_hubert_custom and real.__file__)
"""
    *names, called, file = run(code)
    assert {"hf_hubert_custom", "hf_wav2vec2_custom", "espnet_hubert_local", "hubert_local", "wavlm_large", "ssast_frame_base"} <= set(names)
    assert called == "called" and file.endswith("hf_hubert/hubconf.py")


def test_parts_of_espnet_are_imported_when_they_are_used():
    code = """
import asrlib.pt, g2p_en, inspect, sys, tacotron_cleaner.cleaners
inspect.getmodule(len)
print('nltk' in sys.modules, 'inflect' in sys.modules)
print(tacotron_cleaner.cleaners.custom_english_cleaners('2 cats').replace(' ', '_'))
g2p_en.G2p
print('nltk' in sys.modules)
"""
    assert run(code) == ["False", "False", "TWO_CATS", "True"]
