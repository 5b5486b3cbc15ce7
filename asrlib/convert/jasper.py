"""Parameter names of Jasper in NVIDIA's published PyTorch code and in NeMo."""

import re
from collections.abc import Iterable

from asrlib.convert.rules import pytorch_name, substituted
from asrlib.utils.arrays import Arrays

# Name in a file -> blocks.I.conv.J.*, blocks.I.res.K.{0,1}.* or decoder.*. J counts the layers of all sub-blocks, which are
# convolution, normalisation, activation and dropout.
COMMON = substituted(
    [
        (r"^(module\.|acoustic_model\.)+", ""),
        (r"^(jasper_)?encoder\.(encoder|layers)\.", "blocks."),
        (r"\.mconv\.", ".conv."),
        (r"(\.(?:conv|res\.\d+)\.\d+)\.conv\.weight$", r"\1.weight"),
        (r"^(jasper_)?decoder\.(decoder_layers|layers)\.0\.", "decoder."),
    ]
)
IGNORED = re.compile(r"^(module\.|acoustic_model\.)*(audio_)?preprocessor\.|num_batches_tracked$")


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


def recognised(arrays: Arrays, expected: Iterable[str]) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a file that belong to the network, and name in the file -> MindSpore name.

    Ignored are buffers of the feature extraction, counters and the copy of the network under `acoustic_model.` in NVIDIA's first files.
    """
    copies = {name for name in arrays if name.startswith("acoustic_model.") and name.removeprefix("acoustic_model.") in arrays}
    kept = {name: array for name, array in arrays.items() if name not in copies and not IGNORED.search(name)}
    table = {common_name(name): name for name in expected}
    return kept, {name: table[COMMON(name)] for name in kept if COMMON(name) in table}
