"""Compares the network with golden numbers, in float64.

The numbers are folders of .npy arrays with a manifest.json, of the kinds
forward_* and big_*. See the README.md beside them for what the arrays are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

import hand
from network import SPACES, Supernet, fill, uniform

TOLERANCE = 1e-9  # of losses, logits, statistics and gradients, relative to the largest entry
HESSIAN_TOLERANCE = 1e-6
PARTIAL = 4  # PC-DARTS lets one channel in four take part

# What takes a network, images, labels and mixing weights, and returns logits and
# the gradient with respect to the mixing weights, leaving those of the parameters in place.
Gradients = Callable[[Supernet, Tensor, Tensor, Tensor], "tuple[Tensor, Tensor]"]
Value = "Tensor | float | list[float]"


def automatic(net: Supernet, images: Tensor, labels: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor]:
    net.zero_grad(set_to_none=True)
    mixing = mixing.detach().requires_grad_()
    logits = net(images, mixing)
    F.cross_entropy(logits, labels).backward()
    return logits.detach(), mixing.grad


@torch.no_grad()
def by_hand(net: Supernet, images: Tensor, labels: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor]:
    """In evaluation mode the network has no gradients by its parameters."""
    net.zero_grad(set_to_none=True)
    done = hand.Pass(net, images, mixing, None if net.training else hand.fold(net), keep=True)
    g = (done.logits.softmax(dim=1) - F.one_hot(labels, done.logits.shape[1])) / len(labels)
    return done.logits, done.backward(g, weights=net.training)


def flat(net: Supernet) -> Tensor:
    """The gradients of all parameters as one vector."""
    return torch.cat([p.grad.reshape(-1) for p in net.parameters()])


def statistics(net: Supernet) -> list[Tensor]:
    """The running means and variances in the order of the golden vectors."""
    return [b for name, b in net.named_buffers() if not name.endswith("num_batches_tracked")]


@torch.no_grad()
def write(tensors: list[Tensor], values: Tensor) -> None:
    """Distributes a flat vector over tensors."""
    sizes = [t.numel() for t in tensors]
    if sum(sizes) != len(values):
        raise ValueError(f"the network has {sum(sizes)} values where the golden numbers have {len(values)}")
    for t, part in zip(tensors, values.split(sizes)):
        t.copy_(part.view(t.shape))


class Case:
    """One folder of golden numbers."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.worst, self.failures, self.compared = 0.0, 0, 0

    def array(self, name: str) -> Tensor:
        return torch.from_numpy(numpy.load(self.folder / f"{name}.npy"))

    def network(self, careful: bool) -> Supernet:
        m = self.manifest
        partial = PARTIAL if m["network"] == "pcdarts" else 1
        net = Supernet(SPACES[m["space"]], m["init_channels"], m["layers"], partial, careful).double()
        return net.to(memory_format=torch.channels_last) if careful else net

    def compare(self, what: str, got: Value, want: Value, tolerance: float = TOLERANCE) -> None:
        """Counts what deviates, relative to the largest entry; exact zeros must be small."""
        got, want = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(want, dtype=torch.float64)
        deviation = (got - want).abs().max().item() / max(want.abs().max().item(), 1e-12)
        self.compared += 1
        self.worst = max(self.worst, deviation / tolerance)
        if not deviation <= tolerance:
            self.failures += 1
            if self.failures <= 10:
                where = f"{self.folder.name}: {what}"
                print(f"peer: {where} is off by {deviation:.2g}, allowed {tolerance:.0e}", file=sys.stderr)


def check(folder: Path) -> int:
    """Prints a line for each case and returns 1 if one fails, 2 if there is none."""
    kinds: dict[str, Callable[[Case], None]] = {"forward_": check_forward, "big_": check_big}
    manifests = sorted(folder.glob("*/manifest.json"))
    cases = [(m.parent, run) for m in manifests for kind, run in kinds.items() if m.parent.name.startswith(kind)]
    if not cases:
        print(f"peer: {folder} has no folder forward_* or big_* of golden numbers", file=sys.stderr)
        return 2
    failed = False
    for path, run in cases:
        case = Case(path)
        run(case)
        verdict = "FAIL" if case.failures else "ok"
        print(f"{path.name:24} {verdict:4}  {case.compared} arrays, at most {case.worst:.1%} of the tolerance")
        failed |= case.failures > 0
    return int(failed)


def variants(case: Case) -> list[tuple[str, bool, Gradients]]:
    """The networks to compare: name, whether it is the careful one, its gradients."""
    found: list[tuple[str, bool, Gradients]] = [("plain", False, automatic), ("careful", True, automatic)]
    if case.manifest["network"] != "pcdarts":
        found.append(("hand", True, by_hand))
    return found


def check_forward(case: Case) -> None:
    images, labels = case.array("images"), case.array("labels")
    alphas = case.array("init_alphas")
    for name, careful, gradients in variants(case):
        net = case.network(careful)
        space = net.space

        def reset() -> None:
            write(list(net.parameters()), case.array("init_params"))
            write(statistics(net), case.array("init_buffers"))

        def compare(what: str, got: Value) -> None:
            want = case.manifest[what] if what in case.manifest else case.array(what)
            case.compare(f"{name}: {what}", got, want)

        def outputs(what: str, logits: Tensor) -> None:
            compare(f"{what}_logits", logits)
            compare(f"{what}_loss", F.cross_entropy(logits, labels).item())

        def buffers() -> Tensor:
            return torch.cat([b.reshape(-1) for b in statistics(net)])

        reset()
        net.train()
        a = alphas.clone().requires_grad_()
        mixing = space.softmax(a)
        logits, g = gradients(net, images, labels, mixing)
        outputs("alpha_train", logits)
        compare("alpha_train_grad_params", flat(net))
        compare("alpha_train_grad_alphas", torch.autograd.grad(mixing, a, g)[0])
        compare("alpha_train_buffers_after", buffers())
        net.eval()
        logits, _ = gradients(net, images, labels, mixing)
        outputs("alpha_eval", logits)

        reset()
        logits, g = gradients(net, images, labels, case.array("simplex_alphas"))
        outputs("weight_eval", logits)
        compare("weight_eval_grad_simplex", g)
        if gradients is automatic:
            compare("weight_eval_grad_params", flat(net))

        reset()
        net.train()
        logits, _ = gradients(net, images, labels, case.array("discrete_alphas"))
        outputs("discrete_train", logits)
        compare("discrete_train_grad_params", flat(net))
        compare("discrete_train_buffers_after", buffers())

        if gradients is automatic:
            reset()
            check_hessian(case, name, net, images, labels, alphas)


def check_hessian(case: Case, name: str, net: Supernet, images: Tensor, labels: Tensor, alphas: Tensor) -> None:
    """The golden Hessians carry a weight decay on the diagonal."""
    net.requires_grad_(False)
    a = alphas.clone().requires_grad_()
    loss = F.cross_entropy(net(images, net.space.softmax(a)), labels)
    (g,) = torch.autograd.grad(loss, a, create_graph=True)
    h = torch.stack([torch.autograd.grad(v, a, retain_graph=True)[0] for v in g])
    h += case.manifest["arch_weight_decay"] * torch.eye(len(a))
    case.compare(f"{name}: hessian", h, case.array("hessian"), HESSIAN_TOLERANCE)
    eigenvalue = torch.linalg.eigvalsh((h + h.t()) / 2)[-1].abs()
    want = case.manifest["hessian_eigenvalue_reported"]
    case.compare(f"{name}: eigenvalue", eigenvalue, want, HESSIAN_TOLERANCE)
    net.requires_grad_(True)


def check_big(case: Case) -> None:
    m = case.manifest
    labels, alphas = torch.tensor(m["labels"]), case.array("alphas")
    for name, careful, gradients in variants(case):
        net = case.network(careful)
        fill(net, m["formula_seed"])
        side = 32
        pixels = 4 * uniform(m["image_seed"], m["batch"] * 3 * side**2) - 2
        images = torch.from_numpy(pixels).view(m["batch"], 3, side, side)

        net.train()
        a = alphas.clone().requires_grad_()
        mixing = net.space.softmax(a)
        logits, g = gradients(net, images, labels, mixing)
        case.compare(f"{name}: training logits", logits, case.array("alpha_train_logits"))
        case.compare(f"{name}: training loss", F.cross_entropy(logits, labels).item(), m["alpha_train_loss"])
        case.compare(
            f"{name}: gradient with respect to alphas", torch.autograd.grad(mixing, a, g)[0], case.array("alpha_train_grad_alphas")
        )
        buffers = torch.cat([b.reshape(-1) for b in statistics(net)])
        case.compare(f"{name}: running statistics", buffers, case.array("alpha_train_buffers_after"))
        for digest, p in zip(m["grad_digest"], net.parameters()):
            weights, gradient = p.detach().reshape(-1), p.grad.reshape(-1)
            probe = torch.from_numpy(2 * uniform(7, len(weights)) - 1)
            case.compare(f"{name}: {digest['name']}", weights[:2], digest["param_first"])
            got = torch.stack([gradient.norm(), gradient @ probe, *gradient[:4]])
            want = [digest["grad_norm"], digest["grad_dot"], *digest["grad_first"]]
            case.compare(f"{name}: gradient of {digest['name']}", got, want)
        net.eval()
        logits, _ = gradients(net, images, labels, mixing)
        case.compare(f"{name}: evaluation logits", logits, case.array("alpha_eval_logits"))
        case.compare(f"{name}: evaluation loss", F.cross_entropy(logits, labels).item(), m["alpha_eval_loss"])
        if name == "plain":
            check_hessian(case, name, net.train(), images, labels, alphas)
