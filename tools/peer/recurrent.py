"""The language model of the recurrent search as a researcher would write it, and the steps
that are timed on it: those of steps.py, on passages of words instead of images.

The cell mixes, on the edge into a node from every state before it, tanh, relu, sigmoid and
identity by weights; the first weight of an edge is that of none. One batch norm without
scales follows every state. See docs/recurrent-space.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import Rows, uniform

NODES, FUNCTIONS = 8, 5
EDGES = NODES * (NODES + 1) // 2
MOMENTUM = 0.1
WORD_SEED, MASK_SEED = 800, 900
WEIGHTS = 0.1  # bounds all weights
DROPOUT = (0.2, 0.75, 0.25, 0.75)  # words before the cell, words in it, states, outputs
RATE, DECAY, CLIP, TEMPORAL = 20.0, 5e-7, 0.25, 1e-3


@dataclass(frozen=True)
class Config:
    """The size of the problem."""

    hidden: int
    words: int
    length: int
    batch: int


class Space(Rows):
    """36 rows of five columns."""

    def rows(self) -> list[tuple[int, int]]:
        return [(i * FUNCTIONS, (i + 1) * FUNCTIONS) for i in range(EDGES)]

    def softmax(self, alphas: Tensor) -> Tensor:
        return F.softmax(alphas.view(EDGES, FUNCTIONS), dim=-1).flatten()


class Network(nn.Module):
    """Words [T,B] and a mixing vector to outputs [T,B,H] before and after their mask."""

    def __init__(self, words: int, hidden: int, careful: bool):
        super().__init__()
        self.hidden, self.careful = hidden, careful
        self.words = nn.Parameter(torch.empty(words, hidden))  # the decoder too
        self.first = nn.Parameter(torch.empty(2 * hidden, 2 * hidden))
        self.nodes = nn.ParameterList(nn.Parameter(torch.empty(hidden, 2 * hidden)) for _ in range(NODES))
        self.bias = nn.Parameter(torch.empty(words))
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("variance", torch.ones(hidden))

    def normalize(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, training=self.training, momentum=MOMENTUM)

    def cell(self, x: Tensor, before: Tensor, mixing: list[Tensor], mask: Tensor | None) -> Tensor:
        masked = before if mask is None else before * mask
        c, z = torch.cat([x, masked], dim=1).mm(self.first).chunk(2, dim=1)
        states = [self.normalize(before + c.sigmoid() * (z.tanh() - before))]
        inputs = [states[0] if mask is None else states[0] * mask]
        edge = self.fused if self.careful else self.released
        for node, matrix in enumerate(self.nodes):
            s = torch.stack(states)
            both = torch.cat(inputs).mm(matrix).view(node + 1, -1, 2 * self.hidden)
            c, z = both.chunk(2, dim=-1)
            state = self.normalize(edge(s, c.sigmoid(), z, mixing[node]))
            states.append(state)
            inputs.append(state if mask is None else state * mask)
        return torch.stack(states[1:]).mean(dim=0)

    def released(self, s: Tensor, c: Tensor, z: Tensor, p: Tensor) -> Tensor:
        """The node as the released code has it: every function by itself."""
        total = torch.zeros_like(s[0])
        for k, f in enumerate((torch.tanh, torch.relu, torch.sigmoid, lambda v: v), start=1):
            total = total + (p[:, k, None, None] * (s + c * (f(z) - s))).sum(dim=0)
        return total

    def fused(self, s: Tensor, c: Tensor, z: Tensor, p: Tensor) -> Tensor:
        """The same with one gate for the weighted sum of the functions."""
        w = p[:, 1:, None, None].unbind(dim=1)
        mixed = torch.addcmul(w[3] * z, w[0], z.tanh())
        mixed = torch.addcmul(torch.addcmul(mixed, w[1], z.relu()), w[2], z.sigmoid())
        kept = p[:, 1:].sum(dim=1)[:, None, None] * s
        return torch.addcmul(kept, c, mixed - kept).sum(dim=0)

    def forward(self, inputs: Tensor, mixing: Tensor, masks: list[Tensor] | None) -> tuple[Tensor, Tensor]:
        rows = mixing.view(EDGES, FUNCTIONS).split(list(range(1, NODES + 1)))
        # The last word does not learn from where it is read (quirk R7).
        x = F.embedding(inputs, self.words, padding_idx=len(self.words) - 1)
        if masks is not None:
            x = x * (masks[0] * masks[1])
        state, outputs = x.new_zeros(inputs.shape[1], self.hidden), []
        for now in x.unbind():
            state = self.cell(now, state, rows, None if masks is None else masks[2])
            outputs.append(state)
        raw = torch.stack(outputs)
        return raw, raw if masks is None else raw * masks[3]


def make(base: type) -> type:
    """The steps on this network, for a variant of steps.py."""

    class Steps(base):
        def __init__(self, config: Config):
            self.config, self.space = config, Space()
            size = (config.length, config.batch)
            self.net = Network(config.words, config.hidden, self.careful)

            def words(seed: int) -> Tensor:
                return torch.from_numpy((config.words * uniform(seed, size[0] * size[1])).astype(numpy.int64)).view(size)

            self.inputs, self.targets = words(WORD_SEED), words(WORD_SEED + 1).flatten()
            self.masks = []
            for i, drop in enumerate(DROPOUT):
                kept = uniform(MASK_SEED + i, config.batch * config.hidden) >= drop
                self.masks.append(torch.from_numpy(kept / (1 - drop)).float().view(config.batch, config.hidden))
            self.mean, self.variance = self.net.mean.clone(), self.net.variance.clone()
            self.reset()
            self.net.train()
            with torch.no_grad():  # running statistics that fit
                self.cross_entropy(self.space.softmax(self.alphas), None)
            self.mean, self.variance = self.net.mean.clone(), self.net.variance.clone()
            self.reset()

        @torch.no_grad()
        def reset(self) -> None:
            for i, p in enumerate([self.net.words, self.net.first, *self.net.nodes, self.net.bias]):
                values = 2 * WEIGHTS * uniform(1000 + i, p.numel()) - WEIGHTS
                p.copy_(torch.from_numpy(values).float().view(p.shape))
            self.net.mean.copy_(self.mean)
            self.net.variance.copy_(self.variance)
            self.net.requires_grad_(True)
            self.net.zero_grad(set_to_none=True)
            self.alphas = torch.from_numpy(2 * uniform(500, self.space.dim()) - 1).float().requires_grad_()
            self.optimizer = torch.optim.SGD(self.net.parameters(), lr=RATE, weight_decay=DECAY, **self.optimizer_options())

        def cross_entropy(self, mixing: Tensor, masks: list[Tensor] | None) -> Tensor:
            raw, dropped = self.net(self.inputs, mixing, masks)
            self.change = (raw[1:] - raw[:-1]).pow(2).mean() if len(raw) > 1 else 0
            logits = F.linear(dropped.flatten(0, 1), self.net.words, self.net.bias)
            return F.cross_entropy(logits, self.targets)

        def loss(self, mixing: Tensor) -> Tensor:
            return self.cross_entropy(mixing, self.masks if self.net.training else None)

        def trained_loss(self, loss: Tensor) -> Tensor:
            return loss + TEMPORAL * self.change

        def update(self) -> None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
            self.optimizer.step()

    return Steps
