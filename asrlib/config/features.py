"""Features of CTC models and the augmentation of their training set."""

from dataclasses import dataclass
from typing import Literal

from asrlib.config.checks import require_at_least


@dataclass
class FeatureConfig:
    """DeepSpeech2's log spectrogram with the model zoo's values, or log-mel features with Jasper's; the same in training and evaluation."""

    type: Literal["spectrogram", "logmel"] = "spectrogram"
    sample_rate: int = 16000
    window_size: float = 0.02  # seconds: 320 samples, 161 bins
    window_stride: float = 0.01  # seconds
    window: Literal["hamming", "hann", "blackman"] = "hamming"
    pad_mode: Literal["constant", "reflect"] = "constant"  # at the edges, for centred frames
    normalize: bool = True  # mean and deviation over the utterance's whole spectrogram; of log-mel: of each bin
    normalize_causal: bool = False  # of spectrograms: over the frames up to each one, as streaming needs
    n_fft: int = 512  # this key and those below: log-mel only
    num_mels: int = 64
    symmetric_window: bool = False  # true as in NVIDIA's code and NeMo; false as in librosa and in the MindSpore code
    log_floor: float = 1e-20  # added before the logarithm, which NeMo's 2^-24 limits to -16.6
    preemphasis: float = 0.97
    dither: float = 1e-5  # deviation of the noise added to the samples
    trim_db: float = 60.0  # silence this far below the loudest frame is cut at both ends; 0: no cut

    def __post_init__(self):
        require_at_least(self, 1, "n_fft", "num_mels")
        require_at_least(self, 0, "preemphasis", "dither", "trim_db", "log_floor")
        if self.type == "logmel" and self.n_fft < self.window_samples:
            raise ValueError("n_fft must be at least the window's samples")
        if self.normalize_causal and (self.type != "spectrogram" or not self.normalize):
            raise ValueError("normalize_causal needs type spectrogram and normalize true")
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
    """Log-mel features."""

    type: Literal["logmel"] = "logmel"
    window: Literal["hamming", "hann", "blackman"] = "hann"


@dataclass
class AugmentConfig:
    """Augmentation of the training set. If it changes the waveform, the features are computed during training."""

    spec_augment: bool = False
    freq_masks: int = 2
    freq_mask_width: int = 27  # bins, at most
    time_masks: int = 2
    time_mask_width: int = 40  # frames, at most
    time_mask_ratio: float = 0.2  # of the utterance's frames, at most, for one mask
    speed_volume_perturb: bool = False
    speed_volume_prob: float = 1.0  # fraction of the utterances that are perturbed
    speed_min: float = 0.85
    speed_max: float = 1.15
    gain_min: float = -6.0  # dB
    gain_max: float = 8.0  # dB
    noise_dir: str = ""  # folder of noise recordings; empty: no noise
    noise_prob: float = 0.4
    noise_min: float = 0.0  # noise level, as a fraction of the speech's energy
    noise_max: float = 0.5

    def __post_init__(self):
        require_at_least(self, 0, "freq_masks", "freq_mask_width", "time_masks", "time_mask_width", "time_mask_ratio")
        require_at_least(self, 0, "noise_prob", "noise_min", "speed_volume_prob")
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
