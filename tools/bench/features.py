"""DeepSpeech2's log spectrograms on one core: asrlib compared with librosa.

Cases: asrlib; librosa, with librosa.magphase as in the published code; librosa_short, with np.abs of librosa.stft, the shortest code for the same
result. All compute log1p of the magnitudes, normalised over the utterance.
"""

from collections.abc import Callable

import numpy as np
from common import ONE_THREAD, Bar, Case, chosen, measure, parser, report

from asrlib.config.features import FeatureConfig
from asrlib.utils.cli import run


def recordings(seconds: float, config: FeatureConfig) -> list[np.ndarray]:
    """Noise in utterances of 2 to 16 s, like most of LibriSpeech's, `seconds` in total."""
    rng, left, utterances = np.random.default_rng(0), round(seconds * config.sample_rate), []
    while left > 0:
        utterances.append(0.1 * rng.normal(size=min(left, round(rng.uniform(2, 16) * config.sample_rate))).astype(np.float32))
        left -= len(utterances[-1])
    return utterances


def asrlib_features(seconds: float) -> Callable[[], float]:
    from asrlib.features.spectrogram import log_spectrogram

    return _over(seconds, log_spectrogram)


def librosa_features(seconds: float, published: bool) -> Callable[[], float]:
    import librosa

    def extract(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
        size = config.window_samples
        stft = librosa.stft(samples, n_fft=size, hop_length=config.stride_samples, win_length=size, window=config.window)
        magnitude = librosa.magphase(stft)[0] if published else np.abs(stft)
        spectrum = np.log1p(magnitude)
        return (spectrum - spectrum.mean()) / spectrum.std()

    return _over(seconds, extract)


def _over(seconds: float, extract: Callable) -> Callable[[], float]:
    """Returns a function that processes all recordings and returns the largest feature value, the same for all cases."""
    config = FeatureConfig()
    utterances = recordings(seconds, config)
    return lambda: max(extract(samples, config).max() for samples in utterances)


def main(argv=None) -> int | None:
    options = parser(__doc__, ("asrlib", "librosa", "librosa_short"), repeats=15)
    options.add_argument("--audio_seconds", type=float, default=300.0, help="seconds of audio in one repetition")
    args = options.parse_args(argv)
    cases = (
        Case("asrlib", asrlib_features, (args.audio_seconds,), env=ONE_THREAD),
        Case("librosa", librosa_features, (args.audio_seconds, True), env=ONE_THREAD),
        Case("librosa_short", librosa_features, (args.audio_seconds, False), env=ONE_THREAD),
    )
    results = measure(chosen(cases, args.cases), args.repeats, args.load)
    pairs = [(results[name], results["asrlib"]) for name in ("librosa", "librosa_short") if {name, "asrlib"} <= set(results)]
    bars = [Bar(f"{other.name}'s time over asrlib's", other.over(ours), 5.0, at_least=True) for other, ours in pairs]
    report(args, results, "largest value", bars, args.audio_seconds)
    return None


if __name__ == "__main__":
    run(main)
