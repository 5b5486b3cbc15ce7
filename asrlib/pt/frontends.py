"""Our ESPnet frontends: cached hidden states of a frozen upstream, and an upstream that is trained."""

import logging
from types import SimpleNamespace

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.asr.frontend.s3prl import S3prlFrontend
from s3prl.nn import Featurizer
from s3prl.upstream.hubert.hubert_model import HubertModel
from s3prl.upstream.wav2vec2.wav2vec2_model import Wav2Vec2Model
from torch import Tensor, nn

from asrlib.utils.errors import UserError

TRAINED = "trained_upstream"


class CachedStates(AbsFrontend):
    """The weighted sum of ESPnet's S3prlFrontend with multilayer_feature on cached hidden states, with the same parameter name.

    layers: hidden states per frame; dim: values of each; downsample_rate: samples from one frame to the next.
    """

    def __init__(self, layers: int, dim: int, downsample_rate: int = 320):
        super().__init__()
        self.layers, self.dim, self.hop_length = layers, dim, downsample_rate
        sizes = SimpleNamespace(num_layers=layers, hidden_sizes=[dim] * layers, downsample_rates=[downsample_rate] * layers)
        self.featurizer = Featurizer(sizes)

    def output_size(self) -> int:
        """Number of values per frame."""
        return self.dim

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """input (B, T, layers * dim), zero-padded -> (B, T, dim), lengths (B,)."""
        states = input.unflatten(-1, (self.layers, self.dim)).unbind(2)
        return self.featurizer(states, [input_lengths] * self.layers)


class TrainedUpstream(S3prlFrontend):
    """ESPnet's S3prlFrontend, with the same parameter names, for an upstream that is fine-tuned.

    freeze_finetune_updates: number of updates in which the upstream is frozen (fairseq's option); a buffer counts the updates, so that a resumed
    run continues the count. accum_grad: batches per update, ESPnet's key of that name. ESPnet's freeze_param names what stays frozen.

    The other options apply to s3prl's HuBERT and wav2vec 2.0 in training: dropouts, share of skipped layers (layerdrop) and masked frames
    (mask_prob: their share before spans of mask_length overlap). s3prl itself never masks. Its hooks need every layer, so that a skipped layer
    is computed, but its output is not used.
    """

    def __init__(
        self,
        frontend_conf: dict,
        fs: int | str = 16000,
        download_dir: str | None = None,
        multilayer_feature: bool = False,
        layer: int = -1,
        freeze_finetune_updates: int = 0,
        accum_grad: int = 1,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        dropout_input: float = 0.0,
        layerdrop: float = 0.0,
        mask_prob: float = 0.0,
        mask_length: int = 10,
    ):
        super().__init__(fs, frontend_conf, download_dir, multilayer_feature, layer)
        self.freeze_finetune_updates, self.accum_grad, self.batches = freeze_finetune_updates, accum_grad, 0
        self.register_buffer("updates", torch.tensor(0))
        model = getattr(self.upstream.upstream, "model", None)
        if isinstance(model, (HubertModel, Wav2Vec2Model)):
            _set_dropouts(model, dropout, attention_dropout, activation_dropout, dropout_input)
            _set_layerdrop(model, layerdrop)
            _set_masks(model, mask_prob, mask_length)
        elif any((dropout, attention_dropout, activation_dropout, dropout_input, layerdrop, mask_prob)):
            raise UserError(f"upstream {frontend_conf['upstream']} supports no dropout, layerdrop or mask_prob: set them to 0 in frontend_conf")

    def train(self, mode: bool = True) -> "TrainedUpstream":
        """Also restarts the count of batches: ESPnet calls it at the start of an epoch, which starts a new update."""
        self.batches = 0
        return super().train(mode)

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """input (B, samples) -> (B, T, dim), lengths (B,)."""
        trained = self.updates >= self.freeze_finetune_updates
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(trained)):
            states, lengths = self.upstream(input, input_lengths)
        if self.training:
            self._count()
        chosen = slice(None) if self.multilayer_feature else slice(self.layer, self.layer + 1 or None)
        features, lengths = self.featurizer(states[chosen], lengths[chosen])
        return (features if self.tile_factor == 1 else self._tile_representations(features)), lengths

    def _count(self) -> None:
        self.batches += 1
        if self.batches % self.accum_grad == 0:
            self.updates += 1
            if self.updates == self.freeze_finetune_updates:
                logging.info("after %d updates, the upstream is no longer frozen", self.freeze_finetune_updates)


def _set_dropouts(model: nn.Module, dropout: float, attention: float, activation: float, inputs: float) -> None:
    model.dropout_input.p, model.encoder.dropout = inputs, dropout
    for layer in model.encoder.layers:
        layer.dropout1.p, layer.dropout2.p, layer.dropout3.p = dropout, activation, dropout
        layer.self_attn.dropout_module.p = attention


def _set_layerdrop(model: nn.Module, rate: float) -> None:
    def skip(layer: nn.Module, inputs: tuple, output: tuple) -> tuple:
        skipped = layer.training and float(torch.rand(())) < rate
        return (inputs[0], *output[1:]) if skipped else output

    for layer in model.encoder.layers if rate else ():
        layer.register_forward_hook(skip)


def _set_masks(model: nn.Module, prob: float, length: int) -> None:
    extract = model.extract_features

    def masked(*args, **kwargs):
        return extract(*args, **{**kwargs, "mask": model.training})

    model.mask_prob, model.mask_length = prob, length
    if prob:
        model.extract_features = masked


def register() -> None:
    """Registers the frontends with ESPnet in this process as `cached_states` and `trained_upstream`."""
    from espnet2.tasks.asr import frontend_choices

    frontend_choices.classes |= {"cached_states": CachedStates, TRAINED: TrainedUpstream}
