"""What a training configuration may say: one dataclass per section, defaults with their reasons."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asrlib.config.base import load_config, read_yaml
from asrlib.utils.errors import UserError


def _require(config, least: float, *names: str) -> None:
    """ValueError unless the values of these names are at least `least`."""
    for name in names:
        if not getattr(config, name) >= least:
            raise ValueError(f"{name} must be at least {least:g}")


@dataclass
class FeatureConfig:
    """Log spectrogram of DeepSpeech2, the model zoo's values, window the same for training and evaluation; or log-mel features, whose defaults are Jasper's."""

    type: Literal["spectrogram", "logmel"] = "spectrogram"
    sample_rate: int = 16000
    window_size: float = 0.02  # seconds: 320 samples, 161 bins
    window_stride: float = 0.01  # seconds
    window: Literal["hamming", "hann", "blackman"] = "hamming"
    pad_mode: Literal["constant", "reflect"] = "constant"  # at the edges, for centred frames
    normalize: bool = True  # mean and deviation over the utterance's whole spectrogram; of log-mel: of each bin
    n_fft: int = 512  # this and what follows: log-mel alone
    num_mels: int = 64
    preemphasis: float = 0.97
    dither: float = 1e-5  # deviation of the noise added to the samples
    trim_db: float = 60.0  # silence that far below the loudest frame is cut at both ends; 0: none

    def __post_init__(self):
        _require(self, 1, "n_fft", "num_mels")
        _require(self, 0, "preemphasis", "dither", "trim_db")
        if self.type == "logmel" and self.n_fft < self.window_samples:
            raise ValueError("n_fft must be at least the window's samples")
        if self.window_size < self.window_stride or self.window_stride <= 0:
            raise ValueError("window_size must be at least window_stride, and both positive")

    @property
    def window_samples(self) -> int:
        return round(self.window_size * self.sample_rate)

    @property
    def stride_samples(self) -> int:
        return round(self.window_stride * self.sample_rate)

    @property
    def dim(self) -> int:
        return self.num_mels if self.type == "logmel" else self.window_samples // 2 + 1


@dataclass
class LogMelConfig(FeatureConfig):
    """The same for Jasper."""

    type: Literal["logmel"] = "logmel"
    window: Literal["hamming", "hann", "blackman"] = "hann"


@dataclass
class DeepSpeech2Config:
    """Shape of the network (Amodei et al. 2016, as the MindSpore model zoo computes it)."""

    conv_channels: int = 32
    rnn_type: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: int = 1024
    hidden_layers: int = 5
    bidirectional: bool = True  # the two directions are summed
    rnn_norm: Literal["none", "layer"] = "none"  # before every recurrent layer but the first
    lookahead_context: int = 20  # output frames a unidirectional model looks ahead; unused when bidirectional
    init: Literal["kaiming", "published"] = "kaiming"  # of convolutions and projection: U(+-1/sqrt(inputs)), or the model zoo's

    def __post_init__(self):
        _require(self, 1, "conv_channels", "hidden_size", "hidden_layers", "lookahead_context")


@dataclass
class JasperConfig:
    """Jasper BxR with dense residuals (Li et al. 2019): B blocks of R sub-blocks; the defaults are 10x5."""

    repeat: int = 5  # sub-blocks of a block
    blocks: int = 2  # of each width
    filters: tuple[int, ...] = (256, 384, 512, 640, 768)
    kernels: tuple[int, ...] = (11, 13, 17, 21, 25)
    dropouts: tuple[float, ...] = (0.2, 0.2, 0.2, 0.3, 0.3)
    prologue_filters: int = 256
    prologue_kernel: int = 11  # stride 2
    prologue_dropout: float = 0.2
    epilogue_filters: tuple[int, int] = (896, 1024)
    epilogue_kernel: int = 29  # dilation 2; the second one's is 1
    epilogue_dropout: float = 0.4

    def __post_init__(self):
        _require(self, 1, "repeat", "blocks", "prologue_filters")
        if not len(self.filters) == len(self.kernels) == len(self.dropouts) >= 1:
            raise ValueError("filters, kernels and dropouts must be of one length")
        if any(kernel % 2 == 0 for kernel in (*self.kernels, self.prologue_kernel, self.epilogue_kernel)):
            raise ValueError("kernels must be odd")


@dataclass
class AugmentConfig:
    """Augmentation of the training set; what changes the waveform makes features be computed while training."""

    spec_augment: bool = False
    freq_masks: int = 2
    freq_mask_width: int = 27  # bins, at most
    time_masks: int = 2
    time_mask_width: int = 40  # frames, at most
    time_mask_ratio: float = 0.2  # of the utterance's frames, at most, for one mask
    speed_volume_perturb: bool = False
    speed_volume_prob: float = 1.0  # share of the utterances that are
    speed_min: float = 0.85
    speed_max: float = 1.15
    gain_min: float = -6.0  # dB
    gain_max: float = 8.0  # dB
    noise_dir: str = ""  # folder of noise recordings; empty: no noise
    noise_prob: float = 0.4
    noise_min: float = 0.0  # noise level, as a fraction of the speech's energy
    noise_max: float = 0.5

    def __post_init__(self):
        _require(self, 0, "freq_masks", "freq_mask_width", "time_masks", "time_mask_width", "time_mask_ratio", "noise_prob", "noise_min", "speed_volume_prob")
        if not 0 < self.speed_min <= self.speed_max:
            raise ValueError("speed_min must be greater than 0 and at most speed_max")
        for name in ("gain", "noise"):
            if not getattr(self, f"{name}_min") <= getattr(self, f"{name}_max"):
                raise ValueError(f"{name}_min must be at most {name}_max")
        if self.time_mask_ratio > 1:
            raise ValueError("time_mask_ratio must be at most 1")

    @property
    def on_waveform(self) -> bool:
        return self.speed_volume_perturb or bool(self.noise_dir)


@dataclass
class BatchConfig:
    """Batches of similar length: each bucket has one padded length, so that the compiled step meets few shapes."""

    batch_size: int = 20  # utterances; with batch_seconds, the most
    batch_seconds: float = 0.0  # > 0: as many utterances as make this much padded audio
    buckets: int = 6  # padded lengths, placed at quantiles of the training set
    sorta_grad: bool = True  # the first epoch goes from short to long utterances, which shortens the start of CTC training
    min_seconds: float = 0.1
    max_seconds: float = 35.0  # longer training utterances are listed and left out; never cropped
    prefetch: int = 8  # batches made ahead
    published: str = ""  # what an update was in the publication, for the log

    def __post_init__(self):
        _require(self, 1, "batch_size", "buckets", "prefetch")
        _require(self, 0, "batch_seconds", "min_seconds")
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds must be at most max_seconds")


@dataclass
class OptimConfig:
    name: Literal["adam", "adamw", "sgd", "novograd"] = "adam"
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9  # of sgd
    weight_decay: float = 1e-5
    grad_clip: float = 0.0  # global norm; 0: no clipping
    accumulate: int = 1  # batches whose gradients make one update
    scale_rate: Literal["none", "sqrt", "linear"] = "none"  # the learning rate grows with the number of processes: not, with its root, or with it (Goyal et al. 2017)

    def __post_init__(self):
        _require(self, 0, "learning_rate", "eps", "momentum", "weight_decay", "grad_clip")
        _require(self, 1, "accumulate")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must be at least 0 and less than 1")


@dataclass
class ScheduleConfig:
    """Learning rate over updates; the rate of each update reaches the optimizer and is logged."""

    name: Literal["constant", "anneal", "cyclic", "cosine", "linear", "hold"] = "anneal"
    warmup_steps: int = 0  # linear from 0
    warmup_epochs: float = 0.0  # the same, counted in epochs
    hold_epochs: float = 140.0  # hold: at the learning rate, after the warm-up
    decay: float = 0.981  # hold: factor of each epoch after these
    learning_anneal: float = 1.1  # anneal: divide by this per epoch once half of the epochs are done
    cycle_steps: int = 2000  # cyclic: up and down between min_rate and the learning rate
    min_rate: float = 0.0  # cyclic, cosine, linear, hold: lowest rate, as a fraction of the learning rate

    def __post_init__(self):
        _require(self, 0, "warmup_steps", "warmup_epochs", "hold_epochs", "decay", "min_rate")
        _require(self, 1, "cycle_steps", "learning_anneal")


@dataclass
class TrainerConfig:
    epochs: int = 70
    updates: int = 0  # stop after so many; 0: the epochs decide
    seed: int = 1
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"  # of convolutions and projections; loss and normalisation stay fp32
    loss_scale: float = 1024.0  # used with fp16
    recompute: bool = False  # gradient checkpointing: recurrent layers are computed again in the backward pass
    log_interval: int = 10  # updates
    save_interval: float = 600.0  # seconds between states to resume from, besides one per epoch
    keep_checkpoints: int = 10
    average_checkpoints: int = 5  # best checkpoints by validation WER that make the averaged model
    ema: float = 0.0  # decay of a running mean of the weights, which is validated and kept in their place; 0: none
    patience: int = 0  # epochs without a better WER before stopping; 0: never
    valid_interval: int = 1  # epochs

    def __post_init__(self):
        _require(self, 0, "epochs", "updates", "seed", "save_interval", "average_checkpoints", "patience", "ema")
        if self.ema >= 1:
            raise ValueError("ema must be less than 1")
        _require(self, 1, "loss_scale", "log_interval", "keep_checkpoints", "valid_interval")


@dataclass
class TrainConfig:
    """A training YAML: every key with its default."""

    model: Literal["deepspeech2"] = "deepspeech2"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    model_conf: DeepSpeech2Config = field(default_factory=DeepSpeech2Config)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class JasperTrainConfig(TrainConfig):
    """The same for Jasper."""

    model: Literal["jasper"] = "jasper"
    features: LogMelConfig = field(default_factory=LogMelConfig)
    model_conf: JasperConfig = field(default_factory=JasperConfig)


SCHEMAS = {"deepspeech2": TrainConfig, "jasper": JasperTrainConfig}


def load_train_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A training configuration of the family that its key `model` names. UserError: see load_config; a family that there is not."""
    name = read_yaml(path).get("model", "deepspeech2")
    if name not in SCHEMAS:
        near = difflib.get_close_matches(str(name), SCHEMAS, n=1)
        raise UserError(f"{path}: model: {name!r} is not one of {', '.join(SCHEMAS)}" + (f"; did you mean {near[0]}?" if near else ""))
    return load_config(path, SCHEMAS[name], overrides)
