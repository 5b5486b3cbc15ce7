"""Speech synthesis with espeak-ng (GPL-3, the wheel espeakng_loader) in a separate process that answers over pipes.

espeak-ng keeps state between utterances, and breathy voices use noise from a generator seeded by the clock. To make every request
reproducible, the process loads the library once and forks a child per utterance, which seeds the generator, speaks and ends.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from asrlib.utils.errors import UserError

SAMPLE_RATE = 22050
SYNCHRONOUS, DONT_EXIT = 2, 0x8000  # speak_lib.h: AUDIO_OUTPUT_SYNCHRONOUS, espeakINITIALIZE_DONT_EXIT
UTF8, BY_CHARACTER = 1, 1  # espeakCHARS_UTF8, POS_CHARACTER
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER


class Espeak:
    """A synthesiser process: `with Espeak() as espeak: samples = espeak.speak("hello", "en-us+f4")`. One thread at a time.

    UserError: the library cannot be loaded.
    """

    def __init__(self):
        paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "asrlib.corpora.espeak"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert self.process.stdin is not None and self.process.stdout is not None  # pipes were asked for
        self._requests, self._answers = self.process.stdin, self.process.stdout
        greeting = json.loads(self._answers.readline() or '"the process ended at once"')
        if greeting != "ready":
            self.close()
            raise UserError(f"espeak-ng, which synthesises the mini corpora, cannot be loaded: {greeting}: {_remedy()}")

    def speak(self, text: str, voice: str, rate: int = 175, pitch: int = 50, pitch_range: int = 50, seed: int = 1) -> np.ndarray:
        """Samples (n,) int16 at 22,050 Hz.

        voice: language and variant, "en-us+f3"; rate: words per minute, at least 80; pitch and its range: 0-100; seed: for the breath noise.
        ValueError: espeak-ng does not know the voice or cannot speak the text. UserError: its process was killed.
        """
        request = {"text": text, "voice": voice, "rate": rate, "pitch": pitch, "pitch_range": pitch_range, "seed": seed}
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            size = int(self._answers.readline())
            data = self._answers.read(max(size, 0))
        except (BrokenPipeError, ValueError):  # the pipe is closed, or there is no answer
            size, data = 1, b""
        if len(data) < size:
            raise UserError("the process of espeak-ng was killed (out of memory?): run the same command again")
        if size <= 0:
            raise ValueError(f"espeak-ng gave no speech for {request}")
        return np.frombuffer(data, "<i2")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self.process.wait()
        self._answers.close()

    def __enter__(self) -> "Espeak":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _remedy() -> str:
    return "install its wheel with tools/setup.sh (available for Linux on x86-64 and aarch64, macOS and Windows), or use a recorded corpus"


def _serve() -> None:
    """Reads requests as lines of JSON from standard input; answers with a line with the number of bytes, then 16-bit samples."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the caller, which closes our input and so ends this process
    try:
        library = _load()
    except (ImportError, OSError, RuntimeError) as error:
        _answer(json.dumps(f"{type(error).__name__}: {error}").encode())
        return
    _answer(b'"ready"')
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            samples = _speak(library, **json.loads(line))
            _answer(str(len(samples)).encode(), samples)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            _answer(b"-1")


def _answer(line: bytes, data: bytes = b"") -> None:
    sys.stdout.buffer.write(line + b"\n" + data)
    sys.stdout.buffer.flush()


def _load() -> ctypes.CDLL:
    import espeakng_loader  # imported here, so that its absence is reported to the caller

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(SYNCHRONOUS, 500, espeakng_loader.get_data_path().encode(), DONT_EXIT)
    if rate != SAMPLE_RATE:
        raise RuntimeError(f"espeak_Initialize returned {rate} where the sample rate {SAMPLE_RATE} was expected")
    return library


def _speak(library: ctypes.CDLL, text: str, voice: str, rate: int, pitch: int, pitch_range: int, seed: int) -> bytes:
    chunks = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def collect(samples: int | None, count: int, _events: int) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    library.espeak_SetSynthCallback(collect)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        return b""
    for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
    data = text.encode()
    library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, BY_CHARACTER, 0, UTF8, None, None)
    return b"".join(chunks)


if __name__ == "__main__":
    _serve()
