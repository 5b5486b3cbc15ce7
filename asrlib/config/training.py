"""How a network is trained: optimizer, learning rate, batches, length of the training, checkpoints."""

from dataclasses import dataclass
from typing import Literal

from asrlib.config.checks import require_at_least


@dataclass
class OptimConfig:
    """The optimizer and what happens to the gradients before it."""

    name: Literal["adam", "adamw", "sgd", "novograd"] = "adam"
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9  # of sgd
    weight_decay: float = 1e-5
    grad_clip: float = 0.0  # global norm; 0: no clipping
    accumulate: int = 1  # batches whose gradients make one update
    scale_rate: Literal["none", "sqrt", "linear"] = "none"  # factor of the learning rate for N processes: 1, sqrt(N), N (Goyal et al. 2017)

    def __post_init__(self):
        require_at_least(self, 0, "learning_rate", "eps", "momentum", "weight_decay", "grad_clip")
        require_at_least(self, 1, "accumulate")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must be at least 0 and less than 1")


@dataclass
class PretrainOptimConfig(OptimConfig):
    """The same with the defaults of HuBERT base."""

    name: Literal["adam", "adamw", "sgd", "novograd"] = "adamw"
    learning_rate: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01
    grad_clip: float = 10.0


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
        require_at_least(self, 0, "warmup_steps", "warmup_epochs", "hold_epochs", "decay", "min_rate")
        require_at_least(self, 1, "cycle_steps", "learning_anneal")


@dataclass
class PretrainScheduleConfig(ScheduleConfig):
    """The same with the defaults of HuBERT base."""

    name: Literal["constant", "anneal", "cyclic", "cosine", "linear", "hold"] = "linear"
    warmup_steps: int = 32000


@dataclass
class BatchConfig:
    """Batches of similar length: each bucket has one padded length, so that few graphs are compiled."""

    batch_seconds: float = 0.0  # > 0: batches of this much padded audio
    buckets: int = 4  # padded lengths, placed at quantiles of the training set
    min_seconds: float = 0.1  # shorter training utterances are listed and skipped
    max_seconds: float = 35.0  # longer ones are listed and skipped; in pretraining they are cropped
    prefetch: int = 8  # batches made ahead
    published: str = ""  # size of an update in the publication, for the log

    def __post_init__(self):
        require_at_least(self, 1, "buckets", "prefetch")
        require_at_least(self, 0, "batch_seconds", "min_seconds")
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds must be at most max_seconds")


@dataclass
class CtcBatchConfig(BatchConfig):
    """Whole utterances, at most batch_size of them."""

    batch_size: int = 20  # utterances; with batch_seconds, the most
    buckets: int = 6
    sorta_grad: bool = True  # the first epoch goes from short to long utterances, which shortens the start of CTC training

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "batch_size")


@dataclass
class PretrainBatchConfig(BatchConfig):
    """Waveforms, cropped at random to max_seconds."""

    batch_seconds: float = 87.5  # published: 1.4 M samples a device
    min_seconds: float = 2.0  # 32,000 samples; wav2vec 2.0: 16,000
    max_seconds: float = 15.625  # 250,000 samples
    prefetch: int = 4


@dataclass
class TrainerConfig:
    """Training ends after `epochs` or `updates`, whichever comes first; 0 is no limit. Both 0: the network stays as it starts."""

    epochs: int = 70
    updates: int = 0
    seed: int = 1
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"  # of convolutions and projections; normalisation, softmax and loss stay fp32
    loss_scale: float = 1024.0  # factor of the loss with fp16
    loss_scale_window: int = 2000  # updates after which it doubles; it is halved by one that is not finite; 0: fixed
    recompute: bool = False  # gradient checkpointing: the layers are computed again in the backward pass
    log_interval: int = 10  # updates per row of the history, which holds their means
    save_interval: float = 600.0  # seconds between saved states, besides the one at the end of each epoch
    valid_interval: int = 1  # epochs or updates
    valid_unit: Literal["epochs", "updates"] = "epochs"  # what valid_interval and patience count
    patience: int = 0  # epochs or updates without a better validation before stopping; 0: never
    keep_checkpoints: int = 10  # number of the best ones by validation
    keep_updates: tuple[int, ...] = ()  # updates that are always validated and whose weights are always kept; 0: the start
    final: Literal["best", "last"] = "best"  # the weights that become the model
    average_checkpoints: int = 5  # with final=best: the mean of this many best checkpoints is a candidate; 0 or 1: none
    ema: float = 0.0  # decay of a moving average of the weights, which is validated and saved instead of them; 0: none

    def __post_init__(self):
        require_at_least(self, 0, "epochs", "updates", "seed", "save_interval", "average_checkpoints", "patience", "ema", "loss_scale_window")
        require_at_least(self, 1, "loss_scale", "log_interval", "keep_checkpoints", "valid_interval")
        if self.ema >= 1:
            raise ValueError("ema must be less than 1")


@dataclass
class PretrainTrainerConfig(TrainerConfig):
    """The same, counted in updates."""

    epochs: int = 0
    updates: int = 400000
    log_interval: int = 50
    valid_interval: int = 5000
    valid_unit: Literal["epochs", "updates"] = "updates"
    keep_checkpoints: int = 1
    final: Literal["best", "last"] = "last"
