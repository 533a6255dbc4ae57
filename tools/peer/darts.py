"""The networks of DARTS as a researcher would write them: the search network of its
spaces, and the one that trains a genotype from scratch.

A mixing vector holds the weights of each edge's operations: those of the 14 edges of
normal cells, one edge after another, then those of reduction cells. The network of a
genotype has none.
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


@dataclass(frozen=True)
class Genotype(Rows):
    """Pairs of an operation and the state that it takes, two for each node."""

    normal: list[tuple[str, int]]
    reduction: list[tuple[str, int]]

    def rows(self) -> list[tuple[int, int]]:
        return []


def pairs(text: str) -> list[tuple[str, int]]:
    return [(name, int(state)) for name, state in (pair.split(":") for pair in text.split())]


GENOTYPES = {
    "DARTS_V2": Genotype(
        pairs("sep3:0 sep3:1 sep3:0 sep3:1 sep3:1 skip:0 skip:0 dil3:2"),
        pairs("max:0 max:1 skip:2 max:1 max:0 skip:2 skip:2 max:1"),
    ),
    "c10_s2_pgd": Genotype(
        pairs("sep3:1 skip:0 sep3:2 sep3:0 sep3:3 sep3:2 sep3:4 sep3:1"),
        pairs("skip:0 skip:1 sep3:0 sep3:2 sep3:3 sep3:0 sep3:4 sep3:3"),
    ),
}


PROBLEMS = {**SPACES, **GENOTYPES}


def norm(channels: int, affine: bool) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=MOMENTUM, affine=affine)


def relu_conv_norm(inputs: int, outputs: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs, affine))


def separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, a depthwise and a pointwise convolution, batch norm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels, affine),
    ]


class FactorizedReduce(nn.Module):
    """Half the resolution: half of the channels from even rows and columns, half from odd ones."""

    def __init__(self, inputs: int, outputs: int, affine: bool):
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.norm = norm(outputs, affine)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def operation(name: str, channels: int, stride: int, search: bool) -> nn.Module:
    """An operation; that of a search has a norm after pooling, and no scales in any."""
    affine = not search
    if name == "skip":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name in ("max", "avg"):
        pool = nn.MaxPool2d(3, stride, 1) if name == "max" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, norm(channels, affine)) if search else pool
    kernel = int(name[3:])
    if name.startswith("dil"):
        return nn.Sequential(*separable(channels, kernel, stride, 2, affine))
    return nn.Sequential(*separable(channels, kernel, stride, 1, affine), *separable(channels, kernel, 1, 1, affine))


class Inputs(nn.Module):
    """Brings the outputs of the two cells before to the channels and the side of a cell."""

    def __init__(self, before: int, last: int, channels: int, reduced: bool, affine: bool):
        super().__init__()
        self.first = (FactorizedReduce if reduced else relu_conv_norm)(before, channels, affine)
        self.second = relu_conv_norm(last, channels, affine)

    def forward(self, s0: Tensor, s1: Tensor) -> list[Tensor]:
        return [self.first(s0), self.second(s1)]


class Cell(nn.Module):
    """Four nodes, each the sum of the mixed operations on all states before it."""

    def __init__(self, space: Space, inputs: Inputs, channels: int, reduction: bool, careful: bool):
        super().__init__()
        self.careful = careful
        self.inputs = inputs
        self.edges = nn.ModuleList()
        names = iter(space.reduction if reduction else space.normal)
        for node in range(NODES):
            for state in range(2 + node):
                stride = 2 if reduction and state < 2 else 1
                self.edges.append(nn.ModuleList(operation(name, channels, stride, True) for name in next(names)))

    def forward(self, s0: Tensor, s1: Tensor, weights: list[Tensor]) -> Tensor:
        states = self.inputs(s0, s1)
        e = 0
        for node in range(NODES):
            terms, mixing = [], []
            for state in states:
                terms += [op(state) for op in self.edges[e]]
                mixing += weights[e]
                e += 1
            states.append(weighted_sum(mixing, terms, self.careful))
        return torch.cat(states[2:], dim=1)


class Derived(nn.Module):
    """Four nodes, each the sum of two operations."""

    def __init__(self, genotype: Genotype, inputs: Inputs, channels: int, reduction: bool, careful: bool):
        super().__init__()
        self.inputs = inputs
        self.pairs = genotype.reduction if reduction else genotype.normal
        self.operations = nn.ModuleList(
            operation(name, channels, 2 if reduction and state < 2 else 1, False) for name, state in self.pairs
        )

    def forward(self, s0: Tensor, s1: Tensor, weights: list[Tensor]) -> Tensor:
        states = self.inputs(s0, s1)
        for node in range(NODES):
            h = [self.operations[i](states[self.pairs[i][1]]) for i in (2 * node, 2 * node + 1)]
            states.append(h[0] + h[1])
        return torch.cat(states[2:], dim=1)


def auxiliary_head(inputs: int) -> nn.Sequential:
    """Logits from 8×8 positions."""
    return nn.Sequential(
        nn.ReLU(), nn.AvgPool2d(5, 3), nn.Conv2d(inputs, 128, 1, bias=False), norm(128, True),
        nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False), norm(768, True),
        nn.ReLU(), nn.Flatten(), nn.Linear(768, CLASSES),
    )  # fmt: skip


class Network(nn.Module):
    """[N,3,side,side] images and a mixing vector to [N,10] logits.

    Its parameters and running statistics are those of the Go package supernet, in the
    same order. That of a genotype has an auxiliary head, whose logits of the last pass in
    training mode it keeps.
    """

    def __init__(self, space: Space | Genotype, channels: int, cells: int, careful: bool = False):
        super().__init__()
        self.space, search = space, isinstance(space, Space)
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), norm(3 * channels, True))
        self.reductions = (cells // 3, 2 * cells // 3)
        self.cells = nn.ModuleList()
        before = last = 3 * channels
        for i in range(cells):
            reduction = i in self.reductions
            channels *= 2 if reduction else 1
            inputs = Inputs(before, last, channels, i - 1 in self.reductions, not search)
            self.cells.append((Cell if search else Derived)(space, inputs, channels, reduction, careful))
            before, last = last, NODES * channels
        self.auxiliary = None if search else auxiliary_head(NODES * channels)
        self.auxiliary_logits: Tensor | None = None
        self.classifier = nn.Linear(last, CLASSES)

    def forward(self, images: Tensor, mixing: Tensor) -> Tensor:
        weights = [mixing[lo:hi].unbind() for lo, hi in self.space.rows()]
        s0 = s1 = self.stem(images)
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, weights[EDGES:] if i in self.reductions else weights[:EDGES])
            if self.auxiliary is not None and i == self.reductions[1] and self.training:
                self.auxiliary_logits = self.auxiliary(s1)
        return self.classifier(s1.mean(dim=(2, 3)))
