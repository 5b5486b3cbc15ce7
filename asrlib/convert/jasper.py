"""Parameter names of Jasper in NVIDIA's published PyTorch code, in NeMo and in MindSpore's model zoo."""

import re
from collections.abc import Iterable

import numpy as np

from asrlib.convert.rules import LAST_PARTS, pytorch_name, substituted
from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError

# Name in a file -> blocks.I.conv.J.*, blocks.I.res.K.{0,1}.* or decoder.*. J counts the layers of all sub-blocks, which are convolution,
# normalisation, activation and dropout. Before `encoder` and `decoder` may be the names of wrappers (model., module., acoustic_model.), and files of
# the encoder or the decoder alone begin with `encoder.I` and `decoder_layers.0`.
COMMON = substituted(
    [
        (r"^(?:.*\.)?(?:encoder|layers)\.(\d+)\.m?conv\.", r"blocks.\1.conv."),
        (r"^(?:.*\.)?(?:encoder|layers)\.(\d+)\.res\.", r"blocks.\1.res."),
        (r"(\.(?:conv|res\.\d+)\.\d+)\.conv1?\.weight$", r"\1.weight"),
        (r"\.batchnorm\.(\w+)$", lambda found: f".{LAST_PARTS.get(found[1], found[1])}"),
        (r"^(?:.*\.)?(?:decoder_layers|decoder\.layers)\.(?:0\.)?", "decoder."),
    ]
)
IGNORED = re.compile(r"(^|\.)(audio_)?preprocessor\.|(^|\.)(featurizer|spec_augment\w*)\.|num_batches_tracked$")
RELATIVES = {  # other networks of the same block, by their layers' names
    r"\.m?conv\.\d+\.fc\.": "squeeze-and-excitation layers, as in Citrinet",
    r"\.adapter_layer\.": "adapters",
}


def common_name(name: str) -> str:
    """The common name of a MindSpore parameter."""

    def place(found: re.Match) -> str:
        kind, number, rest = found[2], int(found[3]), found[4]
        inner = {
            "convs": f"conv.{4 * number}",
            "norms": f"conv.{4 * number + 1}",
            "res_convs": f"res.{number}.0",
            "res_norms": f"res.{number}.1",
        }
        return f"{found[1]}{inner[kind]}.{rest}"

    return re.sub(r"^(blocks\.\d+\.)(convs|norms|res_convs|res_norms)\.(\d+)\.(.*)$", place, pytorch_name(name))


def recognised(arrays: Arrays, expected: Iterable[str], where: str) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a file that belong to the network, and name in the file -> MindSpore name.

    Ignored are buffers of the feature extraction, counters, and second copies of an array (in NVIDIA's first files all are also under
    `acoustic_model.`). UserError: copies that differ; a network that only resembles Jasper.
    """
    table = {common_name(name): name for name in expected}
    kept: Arrays = {}
    origin: dict[str, str] = {}
    for name, array in arrays.items():
        if IGNORED.search(name):
            continue
        common = COMMON(name)
        array = array[:, :, 0] if array.ndim == 4 and array.shape[2] == 1 else array  # MindSpore's one-dimensional convolutions
        if common in origin and common in table:
            if not np.array_equal(kept[origin[common]], array):
                raise UserError(f"{where}: {origin[common]} and {name} are both {common} and differ: save one network")
            continue
        kept[name], origin[common] = array, name
    _refuse_relatives(kept, where)
    return kept, {name: table[common] for common, name in origin.items() if common in table}


def _refuse_relatives(arrays: Arrays, where: str) -> None:
    for name, array in arrays.items():
        what = next((what for pattern, what in RELATIVES.items() if re.search(pattern, name)), None)
        if array.ndim == 3 and array.shape[1] == 1 < array.shape[2]:
            what = "separable convolutions, as in QuartzNet"
        if what:
            raise UserError(f"{where}: not a Jasper: {name} belongs to {what}")
