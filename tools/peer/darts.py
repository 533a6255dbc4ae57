"""The search network of DARTS and its spaces as a researcher would write it.

A mixing vector holds the weights of each edge's operations: those of the 14 edges of
normal cells, one edge after another, then those of reduction cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import CLASSES, Rows, weighted_sum

NODES, EDGES = 4, 14
MOMENTUM = 0.1  # of the newest batch in the running statistics


def skip_or(*others: str) -> list[list[str]]:
    return [["skip", other] for other in others]


SEVEN = ["max", "avg", "skip", "sep3", "sep5", "dil3", "dil5"]
S1_NORMAL = [
    *skip_or("dil3", "dil5", "dil5", "sep3", "dil3"), ["max", "skip"], *skip_or("sep3", "sep3", "dil3", "sep3"),
    ["max", "skip"], *skip_or("dil3"), ["dil3", "dil5"], ["dil3", "dil5"],
]  # fmt: skip
S1_REDUCTION = [
    ["max", "avg"], ["max", "dil3"], ["max", "avg"], ["max", "avg"], *skip_or("dil5"), ["max", "avg"],
    ["max", "sep3"], *skip_or("dil3", "dil5"), ["max", "avg"], ["max", "avg"], *skip_or("dil5", "dil5", "dil5"),
]  # fmt: skip


@dataclass(frozen=True)
class Space(Rows):
    """A space of DARTS by the operations of each edge; none of them is the operation none."""

    normal: list[list[str]]
    reduction: list[list[str]]

    def rows(self) -> list[tuple[int, int]]:
        ends = torch.tensor([len(names) for names in self.normal + self.reduction]).cumsum(0).tolist()
        return list(zip([0, *ends], ends))


SPACES = {
    "darts": Space([SEVEN] * EDGES, [SEVEN] * EDGES),
    "darts-s1": Space(S1_NORMAL, S1_REDUCTION),
    "darts-s2": Space([["skip", "sep3"]] * EDGES, [["skip", "sep3"]] * EDGES),
}


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=MOMENTUM, affine=False)


def relu_conv_norm(inputs: int, outputs: int, careful: bool) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs))


def separable(channels: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    """ReLU, a depthwise and a pointwise convolution, batch norm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels),
    ]


class FactorizedReduce(nn.Module):
    """Half the resolution: half of the channels from even rows and columns, half from odd ones."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def operation(name: str, channels: int, stride: int) -> nn.Module:
    if name == "skip":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if name == "max":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(channels))
    if name == "avg":
        return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm(channels))
    kernel = int(name[3:])
    if name.startswith("dil"):
        return nn.Sequential(*separable(channels, kernel, stride, 2))
    return nn.Sequential(*separable(channels, kernel, stride, 1), *separable(channels, kernel, 1, 1))


class Cell(nn.Module):
    """Four nodes, each the sum of the mixed operations on all states before it."""

    def __init__(self, space: Space, before: int, last: int, channels: int, reduced: bool, reduction: bool, careful: bool):
        super().__init__()
        self.careful = careful
        self.first = FactorizedReduce(before, channels) if reduced else relu_conv_norm(before, channels, careful)
        self.second = relu_conv_norm(last, channels, careful)
        self.edges = nn.ModuleList()
        names = iter(space.reduction if reduction else space.normal)
        for node in range(NODES):
            for state in range(2 + node):
                stride = 2 if reduction and state < 2 else 1
                self.edges.append(nn.ModuleList(operation(name, channels, stride) for name in next(names)))

    def forward(self, s0: Tensor, s1: Tensor, weights: list[Tensor]) -> Tensor:
        states = [self.first(s0), self.second(s1)]
        e = 0
        for node in range(NODES):
            terms, mixing = [], []
            for state in states:
                terms += [op(state) for op in self.edges[e]]
                mixing += weights[e]
                e += 1
            states.append(weighted_sum(mixing, terms, self.careful))
        return torch.cat(states[2:], dim=1)


class Supernet(nn.Module):
    """The search network: [N,3,side,side] images and a mixing vector to [N,10] logits.

    Its parameters and running statistics are those of the Go package supernet, in the
    same order.
    """

    def __init__(self, space: Space, channels: int, cells: int, careful: bool = False):
        super().__init__()
        self.space = space
        self.stem = nn.Sequential(
            nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels, momentum=MOMENTUM)
        )
        self.reductions = (cells // 3, 2 * cells // 3)
        self.cells = nn.ModuleList()
        before = last = 3 * channels
        for i in range(cells):
            reduction = i in self.reductions
            channels *= 2 if reduction else 1
            self.cells.append(Cell(space, before, last, channels, i - 1 in self.reductions, reduction, careful))
            before, last = last, NODES * channels
        self.classifier = nn.Linear(last, CLASSES)

    def forward(self, images: Tensor, mixing: Tensor) -> Tensor:
        weights = [mixing[lo:hi].unbind() for lo, hi in self.space.rows()]
        s0 = s1 = self.stem(images)
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, weights[EDGES:] if i in self.reductions else weights[:EDGES])
        return self.classifier(s1.mean(dim=(2, 3)))
