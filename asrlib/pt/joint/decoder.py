"""ESPnet's transformer decoder, one token of each hypothesis at a time, with the keys and values of what was seen before.

ESPnet's own step computes the keys and values of all encoder frames and all former tokens again, for each hypothesis.
"""

import torch
from espnet.nets.pytorch_backend.transformer.attention import MultiHeadedAttention
from espnet.nets.pytorch_backend.transformer.decoder_layer import DecoderLayer
from espnet.nets.pytorch_backend.transformer.embedding import PositionalEncoding
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
from torch.nn.functional import scaled_dot_product_attention


def supported(decoder: torch.nn.Module) -> bool:
    """Whether StepDecoder computes what this decoder computes: the transformer that the recipes configure."""
    if type(decoder) is not TransformerDecoder or not decoder.normalize_before or decoder.output_layer is None:
        return False
    return type(decoder.embed[-1]) is PositionalEncoding and all(_plain(layer) for layer in decoder.decoders)


def _plain(layer: torch.nn.Module) -> bool:
    if type(layer) is not DecoderLayer or layer.concat_after or layer.sequential_attn is not None:
        return False
    attentions = (layer.self_attn, layer.src_attn)
    return all(type(attention) is MultiHeadedAttention and type(attention.q_norm) is torch.nn.Identity for attention in attentions)


class StepDecoder:
    """Decodes U utterances with N hypotheses each. memory: encoder's output (U, T, D); lengths (U,): its frames."""

    def __init__(self, decoder: TransformerDecoder, memory: torch.Tensor, lengths: torch.Tensor):
        self.decoder, self.layers = decoder, list(decoder.decoders)
        valid = torch.arange(memory.shape[1], device=memory.device) < lengths[:, None]
        self.mask = None if bool(valid.all()) else valid[:, None, None]  # (U, 1, 1, T)
        self.memory = [_keys_values(layer.src_attn, memory) for layer in self.layers]  # (U, H, T, D / H)
        self.past: list[tuple[torch.Tensor, torch.Tensor]] = []  # of each layer: (U * N, H, tokens, D / H)

    def __call__(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """tokens (U, N), the newest of each hypothesis, and their position -> log-probabilities (U, N, V) of the next tokens."""
        (utterances, hypotheses), past = tokens.shape, self.past
        x = self._embed(tokens.reshape(-1, 1), position)  # (U * N, 1, D)
        self.past = []
        for number, layer in enumerate(self.layers):
            new = layer.norm1(x)
            keys, values = _keys_values(layer.self_attn, new)
            if past:
                keys, values = torch.cat((past[number][0], keys), 2), torch.cat((past[number][1], values), 2)
            self.past.append((keys, values))
            x = x + _attend(layer.self_attn, new, keys, values)
            x = x.view(utterances, hypotheses, -1)  # all hypotheses of an utterance see its frames
            x = x + _attend(layer.src_attn, layer.norm2(x), *self.memory[number], self.mask)
            x = (x + layer.feed_forward(layer.norm3(x))).view(utterances * hypotheses, 1, -1)
        logits = self.decoder.output_layer(self.decoder.after_norm(x))
        return torch.log_softmax(logits, -1).view(utterances, hypotheses, -1)

    def _embed(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        embedding, encoding = self.decoder.embed[0](tokens), self.decoder.embed[-1]
        encoding.extend_pe(embedding.new_empty(1, position + 1))
        return embedding * encoding.xscale + encoding.pe[:, position : position + 1].to(embedding)

    def reorder(self, parents: torch.Tensor) -> None:
        """Hypotheses (U, M) now continue those of these numbers."""
        hypotheses = self.past[0][0].shape[0] // len(parents)
        rows = (torch.arange(len(parents), device=parents.device)[:, None] * hypotheses + parents).reshape(-1)
        self.past = [(keys[rows], values[rows]) for keys, values in self.past]

    def keep(self, rows: torch.Tensor, frames: int) -> None:
        """Keeps the utterances of these numbers only, and this number of frames."""
        utterances = len(self.memory[0][0])
        self.mask = self.mask if self.mask is None else self.mask[rows, ..., :frames]
        self.memory = [(keys[rows, :, :frames], values[rows, :, :frames]) for keys, values in self.memory]
        self.past = [tuple(x.unflatten(0, (utterances, -1))[rows].flatten(0, 1) for x in pair) for pair in self.past]


def _keys_values(attention: MultiHeadedAttention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _heads(attention, attention.linear_k(x)), _heads(attention, attention.linear_v(x))


def _heads(attention: MultiHeadedAttention, x: torch.Tensor) -> torch.Tensor:
    """(B, L, D) -> (B, H, L, D / H)"""
    return x.unflatten(-1, (attention.h, attention.d_k)).transpose(1, 2)


def _attend(attention: MultiHeadedAttention, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask=None) -> torch.Tensor:
    attended = scaled_dot_product_attention(_heads(attention, attention.linear_q(x)), keys, values, attn_mask=mask)
    return attention.linear_out(attended.transpose(1, 2).flatten(-2))
