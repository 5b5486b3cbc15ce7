"""What a pretraining configuration may say: one dataclass per section, defaults are HuBERT base's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args, get_type_hints

from asrlib.config.base import load_config, read_yaml
from asrlib.config.ctc import OptimConfig, ScheduleConfig, TrainConfig, load_train_config


@dataclass
class HubertConfig:
    """Shape and regularisation of HuBERT (Hsu et al. 2021), of ProgRE, which is HuBERT less pitch and speaker, and of wav2vec 2.0 (Baevski et al. 2020)."""

    conv_channels: int = 512
    conv_kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    extractor_mode: Literal["group", "layer"] = "group"  # normalisation in the convolutions: after the first over time, or after each over channels
    conv_init: Literal["kaiming", "average"] = "kaiming"  # average: the third convolution and those after it begin as means over time, see CONTRIBUTING.md (ours)
    normalize: bool = False  # waveform to mean 0 and deviation 1
    dim: int = 768
    ffn_dim: int = 3072
    heads: int = 12
    layers: int = 12
    layer_norm_first: bool = False  # pre-LN, with a final normalisation (large)
    conv_pos: int = 128
    conv_pos_groups: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    dropout_input: float = 0.1
    layerdrop: float = 0.05
    feature_grad_mult: float = 0.1  # gradient of the convolutions
    final_dim: int = 256
    num_classes: int = 504  # 500 clusters; fairseq's dictionaries add four
    logit_temp: float = 0.1
    pitch: bool = False  # ProgRE: subtract what is known from the pitch before the transformer
    pitch_channels: int = 256
    pitch_hidden: int = 32
    speaker_layer: int = -1  # ProgRE: subtract the speaker's part after this layer, counted from 0; -1: never (its published value: 3)
    speaker_bottleneck: int = 256
    num_speakers: int = 0  # classes of the speaker head; set from the data
    codebooks: int = 2  # wav2vec 2.0: the quantiser of what is to be recognised
    codewords: int = 320  # of a codebook
    code_dim: int = 256  # of the codewords of all codebooks side by side
    dropout_features: float = 0.1  # of the quantiser's input

    def __post_init__(self):
        if self.code_dim % self.codebooks:
            raise ValueError("code_dim must be a multiple of codebooks")
        if len(self.conv_kernels) != len(self.conv_strides) or not self.conv_kernels:
            raise ValueError("conv_kernels and conv_strides must be of one length")
        if self.dim % self.heads or self.dim % self.conv_pos_groups:
            raise ValueError("dim must be a multiple of heads and of conv_pos_groups")
        if self.speaker_layer >= self.layers - 1:
            raise ValueError("speaker_layer must be before the last layer")

    @property
    def hop(self) -> int:
        """Samples from one output frame to the next (320)."""
        hop = 1
        for stride in self.conv_strides:
            hop *= stride
        return hop

    def frames(self, samples: int) -> int:
        """Output frames of that many samples; 0 or less: too short."""
        for kernel, stride in zip(self.conv_kernels, self.conv_strides, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples


@dataclass
class MaskConfig:
    """Masked spans of frames."""

    prob: float = 0.8  # of the frames, before overlaps
    length: int = 10
    min_masks: int = 2


@dataclass
class LossConfig:
    feature_penalty: float = 10.0  # times the mean square of the convolutions' output
    negatives: int = 100  # wav2vec 2.0: other masked frames of the utterance among which the right one is to be found, drawn with replacement
    diversity_weight: float = 0.1  # wav2vec 2.0: of the share of the codewords that is not used
    temperature: tuple[float, float] = (2.0, 0.5)  # wav2vec 2.0: of the Gumbel softmax, at first and at least
    temperature_decay: float = 0.999995  # its factor of each update
    unmasked_weight: float = 0.0  # of the cross-entropy of the frames that are not masked (1 - alpha of HuBERT, section 2.2, over alpha); published: 0
    speaker_weight: float = 1.0  # ProgRE: of the speaker classification, our choice


@dataclass
class PretrainBatchConfig:
    """Utterances are cropped to a few lengths, so that the compiled step meets few shapes."""

    batch_seconds: float = 87.5  # audio in a batch; published: 1.4 M samples a device
    max_seconds: float = 15.625  # longer utterances: a random crop (250,000 samples)
    min_seconds: float = 2.0  # shorter ones are set aside (32,000 samples; wav2vec 2.0: 16,000)
    buckets: int = 4
    prefetch: int = 4
    published: str = ""  # what an update was in the publication, for the log


@dataclass
class PretrainTrainerConfig:
    updates: int = 400000
    seed: int = 1
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    loss_scale: float = 1024.0
    log_interval: int = 50  # updates
    valid_interval: int = 5000
    save_interval: float = 600.0  # seconds between states to resume from
    keep_updates: tuple[int, ...] = ()  # updates whose weights are kept, and validated; 0: those at the start


@dataclass
class PretrainConfig:
    """A pretraining YAML: every key with its default."""

    model: Literal["hubert", "progre", "wav2vec2"] = "hubert"
    model_conf: HubertConfig = field(default_factory=HubertConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    batch: PretrainBatchConfig = field(default_factory=PretrainBatchConfig)
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(name="adamw", learning_rate=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, grad_clip=10.0)
    )
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(name="linear", warmup_steps=32000))
    trainer: PretrainTrainerConfig = field(default_factory=PretrainTrainerConfig)


def experiment_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig | PretrainConfig:
    """The configuration of an experiment of either kind, which its key `model` tells. UserError: see load_config."""
    if read_yaml(path).get("model") in get_args(get_type_hints(PretrainConfig)["model"]):
        return load_config(path, PretrainConfig, overrides)
    return load_train_config(path, overrides)
