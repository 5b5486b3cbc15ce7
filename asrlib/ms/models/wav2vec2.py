"""wav2vec 2.0 (Baevski et al. 2020): HuBERT's trunk, and a quantiser of the convolutions' output, which gives the targets of masked frames."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.config.models.wav2vec2 import Wav2vec2Config
from asrlib.ms.layers.common import Dropout, Linear, positions
from asrlib.ms.models.hubert import Trunk


class GumbelQuantizer(nn.Cell):
    """One codeword of each codebook for every frame, by a straight-through Gumbel softmax (section 2; initial values as in fairseq)."""

    def __init__(self, config: Wav2vec2Config, rng: np.random.Generator):
        super().__init__()
        self.codebooks, self.codewords = config.codebooks, config.codewords
        width = config.code_dim // config.codebooks
        self.vars = Parameter(Tensor(rng.uniform(0, 1, (1, self.codebooks * self.codewords, width)).astype(np.float32)), name="vars")
        self.weight_proj = Linear(config.conv_channels, self.codebooks * self.codewords, rng, deviation=1.0)

    def construct(self, x, noise, temperature):
        """x (B, T, C), noise (B, T, codebooks * codewords), Gumbel or 0, temperature ().

        -> vectors (B, T, code_dim), logits and one-hot choices (B * T, codebooks, codewords), codes (B, T) int32, equal if all codewords are equal.
        """
        batch, steps, _ = x.shape
        logits = self.weight_proj(x).reshape(-1, self.codebooks, self.codewords)
        noisy = logits + noise.reshape(-1, self.codebooks, self.codewords)
        soft, choice = ops.softmax(noisy * (1.0 / temperature), -1), noisy.argmax(-1).astype(ms.int32)
        hard = (positions(self.codewords) == choice.expand_dims(-1)).astype(ms.float32)
        weights = hard + (soft - ops.stop_gradient(soft))
        vectors, codes = (), 0
        for book in range(self.codebooks):
            vectors += (ops.matmul(weights[:, book], self.vars[0, book * self.codewords : (book + 1) * self.codewords]),)
            codes = codes * self.codewords + choice[:, book]
        return ops.concat(vectors, -1).reshape(batch, steps, -1), logits, hard, codes.reshape(batch, steps)


class Wav2vec2(Trunk):
    """The trunk with the quantiser and the projections to the space in which masked frames and codewords are compared."""

    def __init__(self, config: Wav2vec2Config, seed: int = 1):
        rng = np.random.default_rng(seed)
        super().__init__(config, rng)
        self.quantizer = GumbelQuantizer(config, rng)
        self.project_q = Linear(config.code_dim, config.final_dim, rng, deviation=(3 * config.code_dim) ** -0.5)  # PyTorch's default, as in fairseq
        self.final_proj = Linear(config.dim, config.final_dim, rng, deviation=(3 * config.dim) ** -0.5)
        self.dropout_features = Dropout(config.dropout_features)

    def quantised(self, features, noise, temperature, seed):
        """features (B, T, C) of the convolutions, never masked -> targets (B, T, final_dim) and the other outputs of the quantiser."""
        vectors, logits, hard, codes = self.quantizer(self.dropout_features(self.layer_norm(features), seed), noise, temperature)
        return self.project_q(vectors), logits, hard, codes


Network = Wav2vec2
