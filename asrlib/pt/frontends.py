"""An ESPnet frontend that takes the hidden states of a frozen upstream from files, where the s3prl frontend would compute them in every epoch."""

from types import SimpleNamespace

from espnet2.asr.frontend.abs_frontend import AbsFrontend
from s3prl.nn import Featurizer
from torch import Tensor


class CachedStates(AbsFrontend):
    """The second half of ESPnet's S3prlFrontend with multilayer_feature: s3prl's learned weighted sum, under the same parameter name.

    layers: hidden states of a frame; dim: values of each; downsample_rate: samples from one frame to the next.
    """

    def __init__(self, layers: int, dim: int, downsample_rate: int = 320):
        super().__init__()
        self.layers, self.dim, self.hop_length = layers, dim, downsample_rate
        sizes = SimpleNamespace(num_layers=layers, hidden_sizes=[dim] * layers, downsample_rates=[downsample_rate] * layers)
        self.featurizer = Featurizer(sizes)

    def output_size(self) -> int:
        """Values of a frame of the sum."""
        return self.dim

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """input (B, T, layers * dim), zero-padded -> (B, T, dim), lengths (B,)."""
        states = input.unflatten(-1, (self.layers, self.dim)).unbind(2)
        return self.featurizer(states, [input_lengths] * self.layers)


def register() -> None:
    """Makes the frontend known to ESPnet's recogniser in this process as `cached_states`."""
    from espnet2.tasks.asr import frontend_choices

    frontend_choices.classes["cached_states"] = CachedStates


