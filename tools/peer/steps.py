"""The steps of a search that are timed, in four variants.

Plain: eager PyTorch as a researcher writes it. As in the code released with the
paper, the architecture step and the attack compute the gradients of the weights
too, which nobody reads.

Tuned: the same program with the settings that are known to matter: channels_last,
AVX-512 kernels, huge pages, no gradients of weights where none are wanted, and the
fastest layout of the Hessian.

Careful: tuned, and the program changed line by line with what PyTorch offers:
operations in place, fewer passes for weighted sums, inference mode, the optimiser
over all tensors at once, freed memory kept.

Hand: what hand.py describes, and a Hessian that leaves out what is known: the
columns of a softmax row sum to zero, so each row's last one needs no product.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import darts
import hand
import network
from network import CLASSES, fill, uniform

WEIGHT_SEED, ALPHA_SEED, IMAGE_SEED = 1000, 500, 700
RATE, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0  # of the weight step
AUXILIARY = 0.4  # of the auxiliary head's loss
EPSILON, ATTACK_STEPS = 0.1, 7  # of the attack
BATCHED = 4  # directions of the Hessian at once; all of them need too much memory
PIECE = 48  # images of Hand's forward pass at once, by measurement


@dataclass(frozen=True)
class Config:
    """The size of the problem, and where it is computed."""

    space: str  # "1", "2", "3", or a name of darts.PROBLEMS
    channels: int
    cells: int
    side: int
    batch: int
    hessian_batch: int
    device: torch.device


@dataclass
class Result:
    """What a step found, for comparison with other programs."""

    loss: float | None = None
    before: float | None = None  # the attack's losses
    after: float | None = None
    eigenvalue: float | None = None  # the Hessian's largest
    spectral_norm: float | None = None  # its largest absolute one

    def fields(self) -> dict[str, float]:
        """What there is, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Plain:
    """The steps on one network, whose weights, images and alphas are given by formula."""

    careful = False
    format = torch.contiguous_format
    layouts: dict[str, tuple[torch.memory_format, bool]] = {"contiguous, one by one": (torch.contiguous_format, False)}

    def __init__(self, config: Config):
        self.config = config
        if config.space in darts.PROBLEMS:
            self.space, model = darts.PROBLEMS[config.space], darts.Network
        else:
            self.space, model = network.SPACES[int(config.space)], network.Supernet
        self.net = model(self.space, config.channels, config.cells, careful=self.careful)
        self.net.to(config.device, memory_format=self.format)
        self.model: Callable[[Tensor, Tensor], Tensor] = self.net
        count = max(config.batch, config.hessian_batch)
        pixels = 4 * uniform(IMAGE_SEED, count * 3 * config.side**2) - 2
        images = torch.from_numpy(pixels).view(count, 3, config.side, config.side).float().to(config.device)
        labels = torch.arange(count, device=config.device) % CLASSES
        self.images = images[: config.batch].contiguous(memory_format=self.format)
        self.labels = labels[: config.batch]
        self.hessian_images, self.hessian_labels = images[: config.hessian_batch], labels[: config.hessian_batch]
        self.layout = next(iter(self.layouts))
        self.reset()

    def reset(self) -> None:
        """Goes back to the initial weights, statistics, momentum and alphas."""
        self.net.to(memory_format=self.format)
        fill(self.net, WEIGHT_SEED)
        self.net.requires_grad_(True)
        self.net.zero_grad(set_to_none=True)
        alphas = torch.from_numpy(2 * uniform(ALPHA_SEED, self.space.dim()) - 1)
        self.alphas = alphas.float().to(self.config.device).requires_grad_()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, **self.optimizer_options()
        )

    def optimizer_options(self) -> dict[str, bool]:
        return {}

    def loss(self, mixing: Tensor) -> Tensor:
        return F.cross_entropy(self.model(self.images, mixing), self.labels)

    def trained_loss(self, loss: Tensor) -> Tensor:
        """What the weights descend: the loss, and that of the auxiliary head if there is one."""
        logits = getattr(self.net, "auxiliary_logits", None)
        return loss if logits is None else loss + AUXILIARY * F.cross_entropy(logits, self.labels)

    def arch(self) -> Result:
        """The gradient of the loss with respect to the alphas, in training mode."""
        self.net.train()
        self.net.zero_grad()
        self.alphas.grad = None
        loss = self.loss(self.space.softmax(self.alphas))
        loss.backward()
        return Result(loss.item())

    def weight(self) -> Result:
        """A step of SGD on the weights, in training mode."""
        self.net.train()
        self.optimizer.zero_grad(set_to_none=self.careful)
        loss = self.loss(self.space.softmax(self.alphas).detach())
        self.trained_loss(loss).backward()
        self.update()
        return Result(loss.item())

    def update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimizer.step()

    def pgd(self) -> Result:
        """Seven steps of ascent in the mixing weights, in evaluation mode: each
        within the box around the centre, then clipped to the simplex."""
        self.prepare_attack()
        centre = self.space.softmax(self.alphas.detach())
        before = self.evaluate(centre)
        q = centre
        for _ in range(ATTACK_STEPS):
            q = q + 2 * EPSILON / ATTACK_STEPS * self.evaluate_gradient(q).sign()
            q = self.space.clip(centre + (q - centre).clamp(-EPSILON, EPSILON))
        return Result(before=before, after=self.evaluate(q))

    def prepare_attack(self) -> None:
        self.net.eval()

    @torch.no_grad()
    def evaluate(self, mixing: Tensor) -> float:
        """The loss, once prepare_attack has been called."""
        return self.loss(mixing).item()

    def evaluate_gradient(self, mixing: Tensor) -> Tensor:
        """The gradient with respect to the mixing weights, once prepare_attack has been called."""
        q = mixing.clone().requires_grad_()
        self.net.zero_grad()
        self.loss(q).backward()
        return q.grad

    def forward(self) -> Result:
        """The loss, in evaluation mode."""
        self.prepare_attack()
        return Result(self.evaluate(self.space.softmax(self.alphas.detach())))

    def choose_layout(self) -> dict[str, float]:
        """Sets the Hessian's layout to the fastest and returns the seconds that
        each of several was measured to need."""
        return {}

    def hessian(self) -> Result:
        """All second derivatives of the loss with respect to the alphas, in training mode, and
        the largest eigenvalue."""
        loss, h = self.full_hessian()
        h = h.double().cpu()
        spectrum = torch.linalg.eigvalsh((h + h.t()) / 2)
        return Result(loss, eigenvalue=spectrum[-1].item(), spectral_norm=spectrum.abs().max().item())

    def full_hessian(self, directions: int | None = None) -> tuple[float, Tensor]:
        """The loss and the Hessian, or the rows of it that the first directions give."""
        rows = self.directions()[:directions]
        format, batched = self.layouts[self.layout]
        self.net.train()
        self.net.to(memory_format=format)
        images = self.hessian_images.contiguous(memory_format=format)
        alphas = self.alphas.detach().requires_grad_()
        loss = F.cross_entropy(self.net(images, self.space.softmax(alphas)), self.hessian_labels)
        (gradient,) = torch.autograd.grad(loss, alphas, create_graph=True)
        eye = torch.eye(len(alphas), device=alphas.device)

        def product(v: Tensor, batched: bool) -> Tensor:
            return torch.autograd.grad(gradient, alphas, v, retain_graph=True, is_grads_batched=batched)[0]

        if batched:
            products = torch.cat([product(eye[part], True) for part in torch.tensor(rows).split(BATCHED)])
        else:
            products = torch.stack([product(eye[row], False) for row in rows])
        return loss.item(), self.complete(products)

    def directions(self) -> list[int]:
        """The rows of the Hessian that are computed."""
        return list(range(self.space.dim()))

    def complete(self, products: Tensor) -> Tensor:
        """The Hessian from the computed rows."""
        return products


class Tuned(Plain):
    format = torch.channels_last
    layouts = {
        "contiguous, one by one": (torch.contiguous_format, False),
        "channels_last, one by one": (torch.channels_last, False),
        "contiguous, batched": (torch.contiguous_format, True),
        "channels_last, batched": (torch.channels_last, True),
    }

    def __init__(self, config: Config, compile: bool = False):
        super().__init__(config)
        if compile:
            self.model = torch.compile(self.net)

    def arch(self) -> Result:
        self.net.requires_grad_(False)
        return super().arch()

    def weight(self) -> Result:
        self.net.requires_grad_(True)
        return super().weight()

    def prepare_attack(self) -> None:
        self.net.requires_grad_(False)
        super().prepare_attack()

    def hessian(self) -> Result:
        self.net.requires_grad_(False)
        return super().hessian()

    def choose_layout(self) -> dict[str, float]:
        self.net.requires_grad_(False)
        seconds: dict[str, float] = {}
        self.full_hessian(1)  # warms up
        for _ in range(2):  # in turn, as other programs may slow one of them down
            for self.layout in self.layouts:
                try:
                    seconds[self.layout] = min(self.estimate(), seconds.get(self.layout, math.inf))
                except RuntimeError:  # PyTorch 1.13 cannot batch over channels_last
                    continue
        self.layout = min(seconds, key=seconds.__getitem__)
        return seconds

    def estimate(self) -> float:
        """The seconds of a Hessian in the present layout, from those of a few directions."""
        start = time.perf_counter()
        self.full_hessian(BATCHED)
        return (time.perf_counter() - start) / BATCHED * len(self.directions())


class Careful(Tuned):
    careful = True

    def optimizer_options(self) -> dict[str, bool]:
        return {"foreach": True}

    @torch.inference_mode()
    def evaluate(self, mixing: Tensor) -> float:
        return self.loss(mixing).item()


class Hand(Careful):
    def run(self, images: Tensor, mixing: Tensor, keep: bool) -> hand.Pass:
        folded = None if self.net.training else self.folded
        return hand.Pass(self.net, images, mixing, folded, keep)

    def gradient(self, mixing: Tensor, weights: bool) -> tuple[float, Tensor]:
        """The loss and its gradient with respect to the mixing weights; with weights, also
        stores those of the parameters."""
        done = self.run(self.images, mixing, keep=True)
        log = F.log_softmax(done.logits, dim=1)
        g = (log.exp() - F.one_hot(self.labels, CLASSES)) / len(log)
        return F.nll_loss(log, self.labels).item(), done.backward(g, weights)

    def arch(self) -> Result:
        self.net.train()
        mixing = self.space.softmax(self.alphas)
        with torch.no_grad():
            loss, gradient = self.gradient(mixing.detach(), weights=False)
        (self.alphas.grad,) = torch.autograd.grad(mixing, self.alphas, gradient)
        return Result(loss)

    @torch.no_grad()
    def weight(self) -> Result:
        self.net.train()
        self.net.requires_grad_(True)
        loss, _ = self.gradient(self.space.softmax(self.alphas), weights=True)
        self.update()
        return Result(loss)

    def prepare_attack(self) -> None:
        self.net.eval()
        self.folded = hand.fold(self.net)

    @torch.inference_mode()
    def evaluate(self, mixing: Tensor) -> float:
        logits = [self.run(part, mixing, keep=False).logits for part in self.images.split(PIECE)]
        return F.cross_entropy(torch.cat(logits), self.labels).item()

    @torch.no_grad()
    def evaluate_gradient(self, mixing: Tensor) -> Tensor:
        return self.gradient(mixing, weights=False)[1]

    def directions(self) -> list[int]:
        return [i for lo, hi in self.space.rows() for i in range(lo, hi - 1)]

    def complete(self, products: Tensor) -> Tensor:
        rows = []
        for lo, hi in self.space.rows():
            known, products = products[: hi - lo - 1], products[hi - lo - 1 :]
            rows += [known, -known.sum(dim=0, keepdim=True)]
        return torch.cat(rows)


VARIANTS: dict[str, type[Plain]] = {"plain": Plain, "tuned": Tuned, "careful": Careful, "hand": Hand}
