"""A pretrained model (HuBERT, ProgRE, wav2vec 2.0): audio to hidden states, in either framework."""

import importlib.util
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from asrlib.api.audio import Audio, samples_of
from asrlib.api.package import PACKED, unpacked
from asrlib.config.families import load_pretrain_config
from asrlib.config.pretraining import RATE, PretrainConfig
from asrlib.utils.errors import UserError

UpstreamFramework = Literal["mindspore", "pytorch"]
FILES = {"mindspore": "model.safetensors", "pytorch": "pt/model.safetensors"}


class Upstream:
    """What `asrlib.load_upstream` returns. Threads may share it: the network computes for one at a time.

    config: of the pretraining; framework: mindspore or pytorch; rate: Hz.
    """

    def __init__(self, network: Any, config: PretrainConfig, framework: UpstreamFramework, files: TemporaryDirectory | None = None):
        """network: an asrlib.ms.inference.upstream.Upstream or its counterpart of asrlib.pt; files: what it was read from, deleted with it."""
        self.config, self.framework, self.rate = config, framework, RATE
        self._network, self._files, self._lock = network, files, threading.Lock()

    def hidden_states(self, audio: Audio, rate: int | None = None) -> list[np.ndarray]:
        """audio, a file or an array (samples,) at `rate` Hz -> arrays (frames, D): the input of the first layer and the output of each.

        ProgRE: with the pitch part before them and the speaker part behind its layer. Frames are 20 ms apart; the waveform is normalised if the model
        requires it. UserError: as asrlib.load(...).transcribe; less than one frame.
        """
        samples = samples_of(audio, rate, self.rate)
        with self._lock:
            return self._network.hidden_states(samples, "audio" if isinstance(audio, np.ndarray) else str(audio))


def load_upstream(path: str | Path, *, framework: UpstreamFramework | None = None, device: str = "auto") -> Upstream:
    """The pretrained model in `path`: the folder of a pretraining, or a packed model (asrlib pack).

    framework: mindspore, or pytorch, whose weights stage 4 writes; None: the first that is there and installed. device: as of asrlib.load.
    UserError: no such model, or of another kind.
    """
    folder, files = Path(path), None
    if folder.suffix == PACKED and folder.is_file():
        files = unpacked(folder)
        folder = Path(files.name)
    modules = {"mindspore": "mindspore", "pytorch": "torch"}
    if framework is not None and framework not in modules:
        raise UserError(f"framework {framework!r}: choose mindspore or pytorch")
    there: list[UpstreamFramework] = [name for name in ("mindspore", "pytorch") if (folder / FILES[name]).is_file() and framework in (None, name)]
    if not there:
        raise UserError(f"{path}: no pretrained model{f' for {framework}' if framework else ''} in it: run stage 3, for pytorch also stage 4")
    found = next((name for name in there if importlib.util.find_spec(modules[name])), None)
    if found is None:
        raise UserError(f"{path}: its model needs {' or '.join(modules[name] for name in there)}, which is not installed here")
    config = load_pretrain_config(folder / "config.yaml")
    if found == "mindspore":
        from asrlib.ms.inference.upstream import Upstream as Trained

        return Upstream(Trained.load(folder, "Ascend" if device == "npu" else "CPU"), config, found, files)
    from asrlib.pt.upstream import Upstream as Converted

    return Upstream(Converted.load(folder / FILES[found], config, device), config, found, files)
