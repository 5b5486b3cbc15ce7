"""Jasper under the names of NVIDIA's published PyTorch code and of NeMo."""

import re
from collections.abc import Iterable

from asrlib.convert.rules import pytorch_name, substituted
from asrlib.utils.arrays import Arrays

# a foreign name -> blocks.I.conv.J.*, blocks.I.res.K.{0,1}.*, decoder.*: J counts convolution, normalisation, activation and dropout of every sub-block
COMMON = substituted(
    [
        (r"^(module\.|acoustic_model\.)+", ""),
        (r"^(jasper_)?encoder\.(encoder|layers)\.", "blocks."),
        (r"\.mconv\.", ".conv."),
        (r"(\.(?:conv|res\.\d+)\.\d+)\.conv\.weight$", r"\1.weight"),
        (r"^(jasper_)?decoder\.(decoder_layers|layers)\.0\.", "decoder."),
    ]
)
ASIDE = re.compile(r"^(module\.|acoustic_model\.)*(audio_)?preprocessor\.|num_batches_tracked$")


def common_name(name: str) -> str:
    """Our MindSpore name under the same scheme."""

    def place(found: re.Match) -> str:
        kind, number, rest = found[2], int(found[3]), found[4]
        inner = {"convs": f"conv.{4 * number}", "norms": f"conv.{4 * number + 1}", "res_convs": f"res.{number}.0", "res_norms": f"res.{number}.1"}[kind]
        return f"{found[1]}{inner}.{rest}"

    return re.sub(r"^(blocks\.\d+\.)(convs|norms|res_convs|res_norms)\.(\d+)\.(.*)$", place, pytorch_name(name))


def recognised(arrays: Arrays, expected: Iterable[str]) -> tuple[Arrays, dict[str, str]]:
    """What of a foreign file belongs to the network, and its names: name in the file -> our MindSpore name.

    Buffers of feature extraction and counters are left aside, and so is the copy under `acoustic_model.` that NVIDIA's first files hold beside the network.
    """
    doubled = {name for name in arrays if name.startswith("acoustic_model.") and name.removeprefix("acoustic_model.") in arrays}
    kept = {name: array for name, array in arrays.items() if name not in doubled and not ASIDE.search(name)}
    table = {common_name(name): name for name in expected}
    return kept, {name: table[COMMON(name)] for name in kept if COMMON(name) in table}
