"""The one-shot network of NAS-Bench-1Shot1 as a researcher would write it.

A mixing vector holds the weights by which the network mixes operations, block
inputs and block outputs: the tensors mixed_op [n,3], output [n+1] and input
[K] for each node K with a learnable input, flattened one after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.997  # of the newest batch in the running statistics, as in the released code
POSTPROCESS_MOMENTUM = 0.1  # of the last batch norm, PyTorch's default
CLASSES = 10


class Rows:
    """A space whose mixing vector has a softmax for each row."""

    def rows(self) -> list[tuple[int, int]]:
        """The half-open range of every softmax row in the flat vector."""
        raise NotImplementedError

    def dim(self) -> int:
        """The length of the flat vector."""
        return max((hi for _, hi in self.rows()), default=0)

    def softmax(self, alphas: Tensor) -> Tensor:
        """The mixing vector of the architecture parameters: a softmax of each row."""
        return torch.cat([alphas[:0], *(F.softmax(alphas[lo:hi], dim=0) for lo, hi in self.rows())])

    def clip(self, mixing: Tensor) -> Tensor:
        """Each row clamped to [0,1] and divided by its sum; a row of which nothing
        is left becomes 1 at what was its first largest entry."""
        rows = []
        for lo, hi in self.rows():
            row = mixing[lo:hi].clamp(0, 1)
            if row.sum() == 0:
                row[mixing[lo:hi].argmax()] = 1
            rows.append(row / row.sum())
        return torch.cat(rows)


@dataclass(frozen=True)
class Space(Rows):
    """A search space: n choice blocks, and which nodes weigh their inputs."""

    blocks: int
    first_learnable: int  # the inputs of nodes before this one are merely added

    def rows(self) -> list[tuple[int, int]]:
        sizes = [3] * self.blocks + [self.blocks + 1] + list(range(self.first_learnable, self.blocks + 1))
        ends = numpy.cumsum(sizes).tolist()
        return list(zip([0] + ends, ends))

    def split(self, mixing: Tensor) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """The parts of a mixing vector: mixed_op [n,3], output [n+1] and the
        input weights [K] by node K."""
        n = self.blocks
        output, *rest = [mixing[lo:hi] for lo, hi in self.rows()[n:]]
        return mixing[: 3 * n].view(n, 3), output, {self.first_learnable + i: part for i, part in enumerate(rest)}


SPACES = {1: Space(4, 3), 2: Space(4, 2), 3: Space(5, 2)}


def weighted_sum(weights: Tensor, terms: Sequence[Tensor], careful: bool) -> Tensor:
    """Σ weights[i]·terms[i]; careful saves a pass over the data for each term."""
    if not careful:
        return sum(w * t for w, t in zip(weights, terms))
    total = weights[0] * terms[0]
    for w, t in zip(weights[1:], terms[1:]):
        total = torch.addcmul(total, w, t)
    return total


class Layer(nn.Module):
    """Convolution, batch norm, ReLU; keeps the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, careful: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=MOMENTUM)
        self.careful = careful

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=self.careful)


class Block(nn.Module):
    """A choice block: the weighted sum of pooling, 3×3 and 1×1 convolution.

    With partial > 1 it is that of PC-DARTS: only the first 1/partial of the
    channels take part, the others pass, and the channels are shuffled.
    """

    def __init__(self, channels: int, partial: int, careful: bool):
        super().__init__()
        self.partial, self.careful = partial, careful
        self.active = channels // partial
        self.conv3 = Layer(self.active, self.active, 3, careful)
        self.conv1 = Layer(self.active, self.active, 1, careful)

    def forward(self, u: Tensor, weights: Tensor) -> Tensor:
        x = u[:, : self.active]
        y = weighted_sum(weights, [F.max_pool2d(x, 3, 1, 1), self.conv3(x), self.conv1(x)], self.careful)
        if self.partial == 1:
            return y
        y = torch.cat([y, u[:, self.active :]], dim=1)
        n, c, h, w = y.shape
        return y.reshape(n, self.partial, c // self.partial, h, w).transpose(1, 2).reshape(n, c, h, w)


class Cell(nn.Module):
    """n choice blocks, each on its own projection of the cell's input and the
    blocks before it; the output adds one more projection to their concatenation."""

    def __init__(self, space: Space, inputs: int, channels: int, partial: int, careful: bool):
        super().__init__()
        n = space.blocks
        self.careful = careful
        self.blocks = nn.ModuleList(Block(channels, partial, careful) for _ in range(n))
        self.projections = nn.ModuleList(Layer(inputs, channels, 1, careful) for _ in range(n))
        self.projections.append(Layer(inputs, n * channels, 1, careful))

    def forward(self, x: Tensor, mixed: Tensor, output: Tensor, inputs: dict[int, Tensor]) -> Tensor:
        states: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            terms = [self.projections[i](x)] + states
            if i + 1 in inputs:
                u = weighted_sum(inputs[i + 1], terms, self.careful)
            else:
                u = sum(terms[1:], terms[0])
            states.append(block(u, mixed[i]))
        concatenated = torch.cat([w * s for w, s in zip(output[1:], states)], dim=1)
        return output[0] * self.projections[-1](x) + concatenated


class Supernet(nn.Module):
    """The one-shot network: [N,3,side,side] images and a mixing vector to [N,10] logits.

    Its parameters and running statistics are those of the Go package supernet,
    in the same order. With careful it computes the same with fewer passes over the
    data.
    """

    def __init__(self, space: Space, channels: int, cells: int, partial: int = 1, careful: bool = False):
        super().__init__()
        self.space = space
        self.pooled = (cells // 3, 2 * cells // 3)  # the resolution halves before these cells
        self.stem = Layer(3, channels, 3, careful)
        self.cells = nn.ModuleList()
        inputs = channels
        for i in range(cells):
            if i in self.pooled:
                channels *= 2
            self.cells.append(Cell(space, inputs, channels, partial, careful))
            inputs = space.blocks * channels
        self.postprocess = nn.Conv2d(inputs, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=POSTPROCESS_MOMENTUM, affine=False)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, images: Tensor, mixing: Tensor) -> Tensor:
        weights = self.space.split(mixing)
        x = self.stem(images)
        for i, cell in enumerate(self.cells):
            if i in self.pooled:
                x = F.max_pool2d(x, 2, 2, 1)
            x = cell(x, *weights)
        x = self.norm(self.postprocess(F.relu(x)))
        return self.classifier(x.mean(dim=(2, 3)))


def uniform(seed: int, count: int) -> numpy.ndarray:
    """The first numbers in [0,1) of the SplitMix64 stream of a seed."""
    gamma = 0x9E3779B97F4A7C15
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(gamma)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53


@torch.no_grad()
def fill(net: Supernet, seed: int) -> None:
    """Gives parameter k the values of the stream seed+k, and every batch norm
    mean 0 and variance 1."""
    fan_in = net.classifier.in_features
    for k, (name, p) in enumerate(net.named_parameters()):
        u = torch.from_numpy(uniform(seed + k, p.numel())).view(p.shape)
        if p.dim() > 1:
            fan_in = p[0].numel()
            p.copy_((2 * u - 1) / math.sqrt(fan_in))
        elif name == "classifier.bias":
            p.copy_((2 * u - 1) / math.sqrt(fan_in))
        elif name.endswith("weight"):
            p.copy_(0.5 + u)
        else:
            p.copy_(0.4 * u - 0.2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
