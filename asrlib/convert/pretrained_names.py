"""Parameter names of HuBERT, wav2vec 2.0 and ProgRE in the files of fairseq, s3prl, transformers, torchaudio, and of the published ProgRE.

A file may hold more than the network: the heads of fine-tuning, or a whole system around it. The network is found by its convolutions.
"""

import re
from collections.abc import Iterable

from asrlib.convert.rules import Substitution, pytorch_name, substituted
from asrlib.utils.errors import UserError

FIRST = re.compile(r"^(.*?)feature_extractor\.conv_layers\.0\.")
HEADS = ("final_proj.", "label_embs_concat", "quantizer.", "project_q.", "spk_linear.")  # of pretraining; beside the network in transformers
AFTER = ("lm_head.", "aux.", "proj.", "projector.", "classifier.", "adapter.")  # heads of fine-tuning, which take the last hidden state

PUBLISHED_PROGRE: list[Substitution] = [  # names in MindSpore, then those in PyTorch
    (r"\.dense\.", "."),
    (r"pos_conv\.pos_conv\.0\.", "pos_conv."),
    (r"(conv_layers\.\d+)\.conv\.conv1d\.", r"\1.conv."),
    (r"(conv_layers\.\d+)\.group_norm\.", r"\1.norm."),
    (r"^pitch_encoder\.conv(\d)\.0\.", lambda found: f"pitch_encoder.convs.{int(found[1]) - 1}.conv."),
    (r"^pitch_encoder\.conv(\d)\.1\.", lambda found: f"pitch_encoder.convs.{int(found[1]) - 1}.norm."),
    (r"^(pitch_encoder\.convs\.\d)\.conv\.bias$", r"\1.bias"),
    (r"^pitch_encoder\.lstm\.", "pitch_encoder.gru."),
    (r"^pitch_encoder\.out\.", "pitch_encoder.proj."),
    (r"^sub_norm\.", "pitch_norm."),
    (r"^encoder\.astp\.out\.", "speaker.proj."),
    (r"^encoder\.astp\.layer_norm\.", "speaker.norm."),
    (r"^encoder\.astp\.", "speaker."),
]
TORCHAUDIO: list[Substitution] = [
    (r"^encoder\.feature_projection\.", "feature_projection."),
    (r"^encoder\.transformer\.", "encoder."),
]
TRANSFORMERS: list[Substitution] = [
    (r"^feature_projection\.projection\.", "post_extract_proj."),
    (r"^feature_projection\.layer_norm\.", "layer_norm."),
    (r"^masked_spec_embed$", "mask_emb"),
    (r"^encoder\.pos_conv_embed\.conv\.", "encoder.pos_conv."),
    (r"parametrizations\.weight\.original0$", "weight_g"),
    (r"parametrizations\.weight\.original1$", "weight_v"),
    (r"(conv_layers\.\d+)\.layer_norm\.", r"\1.norm."),
    (r"^(encoder\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"^(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"\.feed_forward\.intermediate_dense\.", ".fc1."),
    (r"\.feed_forward\.output_dense\.", ".fc2."),
    (r"^project_hid\.", "final_proj."),
    (r"^quantizer\.codevectors$", "quantizer.vars"),
]
FAIRSEQ: list[Substitution] = [
    (r"(conv_layers\.\d+)\.0\.", r"\1.conv."),
    (r"(conv_layers\.\d+)\.2\.(1\.)?", r"\1.norm."),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv."),
]
_common = substituted([*PUBLISHED_PROGRE, *TORCHAUDIO, *TRANSFORMERS, *FAIRSEQ])


def common_names(names: Iterable[str], where: str) -> tuple[dict[str, str], list[str]]:
    """Name in the file -> name in our PyTorch twin (asrlib.pt.models), and the names of what is not part of the network.

    A name of the network that no rule knows stays as it is. UserError: there is no such network in the file, or more than one.
    """
    names = list(names)
    prefixes = sorted({match[1] for name in names if (match := FIRST.match(name))})
    if not prefixes:
        raise UserError(f"{where}: neither HuBERT, wav2vec 2.0 nor ProgRE: no feature_extractor.conv_layers among {', '.join(names[:3])}, ...")
    if len(prefixes) > 1:
        raise UserError(f"{where}: holds {len(prefixes)} networks, {' and '.join(prefixes)}: save one of them")
    prefix, found, aside = prefixes[0], dict[str, str](), []
    for name in names:
        common = _common(pytorch_name(name.removeprefix(prefix)))
        if (name.startswith(prefix) and not common.startswith(AFTER)) or common.startswith(HEADS):
            found[name] = common
        else:
            aside.append(name)
    return found, aside
