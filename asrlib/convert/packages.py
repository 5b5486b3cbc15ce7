"""Our HuBERT and wav2vec 2.0 in fairseq, s3prl (which uses fairseq's names) and transformers: parameter names and configurations."""

from collections.abc import Callable

from asrlib.config.models import wav2vec2
from asrlib.config.pretraining import PretrainConfig, TrunkConfig
from asrlib.convert.rules import pytorch_name, substituted
from asrlib.utils.errors import UserError

RATE = 16000
HEADS = ("final_proj.", "label_embs_concat", "quantizer.", "project_q.")  # pretraining heads, which a model for fine-tuning lacks
PRETRAINING = (*HEADS, "spk_linear.", "mask_emb")  # parameters for pretraining only; published checkpoints omit some of them

FAIRSEQ_CONV = [
    (r"^feature_extractor\.conv_layers\.(\d+)\.conv\.", r"feature_extractor.conv_layers.\1.0."),
    (r"^encoder\.pos_conv\.", "encoder.pos_conv.0."),
]
FAIRSEQ_NORM = {"group": (r"(conv_layers\.\d+)\.norm\.", r"\1.2."), "layer": (r"(conv_layers\.\d+)\.norm\.", r"\1.2.1.")}

TRANSFORMERS = [
    (r"\.norm\.", ".layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^encoder\.pos_conv\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
]
TRANSFORMERS_HEADS = {"final_proj.weight": "project_hid.weight", "final_proj.bias": "project_hid.bias", "quantizer.vars": "quantizer.codevectors"}


def fairseq_rule(config: TrunkConfig) -> Callable[[str], str]:
    """MindSpore name -> name in the HuBERT and wav2vec 2.0 of fairseq and s3prl."""
    rename = substituted([*FAIRSEQ_CONV, FAIRSEQ_NORM[config.extractor_mode]])
    return lambda name: rename(pytorch_name(name))


def transformers_name(name: str, config: TrunkConfig) -> str:
    """MindSpore name -> name in transformers' HubertModel (without the pretraining heads)."""
    return substituted(TRANSFORMERS)(pytorch_name(name))


def pretraining_name(name: str, config: TrunkConfig) -> str:
    """MindSpore name -> name in transformers' Wav2Vec2ForPreTraining."""
    if name.startswith(HEADS):
        return TRANSFORMERS_HEADS.get(name, name)
    return "wav2vec2." + transformers_name(name, config)


def fairseq_configs(config: PretrainConfig) -> tuple[dict, dict]:
    """fairseq's task_cfg and model_cfg with plain values only.

    Dropouts are 0, because ESPnet leaves a frozen upstream in training mode, in which they would be active.
    """
    model = config.model_conf
    if model.conv_channels == model.dim:
        raise UserError("model_conf.conv_channels equals model_conf.dim, for which fairseq and s3prl have no projection: choose another size")
    layers = [f"({model.conv_channels}, {kernel}, {stride})" for kernel, stride in zip(model.conv_kernels, model.conv_strides, strict=True)]
    task_cfg = {
        "data": "", "sample_rate": RATE, "normalize": model.normalize,
        "max_sample_size": round(config.batch.max_seconds * RATE), "min_sample_size": round(config.batch.min_seconds * RATE),
    }  # fmt: skip
    model_cfg = {
        "extractor_mode": {"group": "default", "layer": "layer_norm"}[model.extractor_mode],
        "encoder_layers": model.layers, "encoder_embed_dim": model.dim,
        "encoder_ffn_embed_dim": model.ffn_dim, "encoder_attention_heads": model.heads,
        "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "encoder_layerdrop": 0.0, "dropout_input": 0.0, "dropout_features": 0.0,
        "final_dim": model.final_dim, "layer_norm_first": model.layer_norm_first, "conv_feature_layers": f"[{', '.join(layers)}]",
        "conv_bias": model.conv_bias, "logit_temp": model.logit_temp, "feature_grad_mult": model.feature_grad_mult, "mask_length": config.mask.length,
        "mask_prob": config.mask.prob, "conv_pos": model.conv_pos, "conv_pos_groups": model.conv_pos_groups,
    }  # fmt: skip
    if isinstance(config, wav2vec2.Config):
        quantiser = config.model_conf
        latent = {"latent_vars": quantiser.codewords, "latent_groups": quantiser.codebooks, "latent_dim": quantiser.code_dim}
        temperature = (*config.loss.temperature, config.loss.temperature_decay)
        return task_cfg, model_cfg | latent | {"quantize_targets": True, "num_negatives": config.loss.negatives, "latent_temp": temperature}
    label_rate = {"label_rate": RATE / model.hop}
    return task_cfg | label_rate | {"labels": ["km"]}, model_cfg | label_rate | {"untie_final_proj": True}


def transformers_config(config: PretrainConfig) -> dict:
    """The contents of config.json for transformers' HubertModel or Wav2Vec2ForPreTraining."""
    model = config.model_conf
    kind: dict = {"architectures": ["HubertModel"], "model_type": "hubert"}
    if isinstance(config, wav2vec2.Config):
        quantiser = config.model_conf
        kind = {
            "architectures": ["Wav2Vec2ForPreTraining"], "model_type": "wav2vec2",
            "codevector_dim": quantiser.code_dim, "proj_codevector_dim": model.final_dim,
            "num_codevector_groups": quantiser.codebooks, "num_codevectors_per_group": quantiser.codewords, "num_negatives": config.loss.negatives,
            "contrastive_logits_temperature": model.logit_temp, "diversity_loss_weight": config.loss.diversity_weight,
            "feat_quantizer_dropout": quantiser.dropout_features,
        }  # fmt: skip
    return kind | {
        "hidden_size": model.dim, "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads, "intermediate_size": model.ffn_dim, "hidden_act": "gelu", "feat_extract_norm": model.extractor_mode,
        "do_stable_layer_norm": model.layer_norm_first, "conv_bias": model.conv_bias, "conv_dim": [model.conv_channels] * len(model.conv_kernels),
        "conv_kernel": list(model.conv_kernels), "conv_stride": list(model.conv_strides), "num_feat_extract_layers": len(model.conv_kernels),
        "num_conv_pos_embeddings": model.conv_pos, "num_conv_pos_embedding_groups": model.conv_pos_groups, "layer_norm_eps": 1e-5,
        "hidden_dropout": model.dropout, "attention_dropout": model.attention_dropout, "activation_dropout": model.activation_dropout,
        "feat_proj_dropout": model.dropout_input, "layerdrop": model.layerdrop, "mask_time_prob": config.mask.prob,
        "mask_time_length": config.mask.length, "initializer_range": 0.02, "classifier_proj_size": model.final_dim,
    }  # fmt: skip
