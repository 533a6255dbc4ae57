"""The network's passes written out over PyTorch's own functions, without autograd.

No line here is a kernel of ours; all of them call what PyTorch has. What that
gains over autograd is what can be seen only with the formulas at hand:

- A mixing weight m of a layer y = relu(norm(conv(x))) costs no pass over the
  data. Batch norm's backward yields the gradients of its scale and shift anyway;
  if it is given the gradient before the multiplication by m, then
  dL/dm = ⟨scale, dscale⟩ + ⟨shift, dshift⟩, and m itself goes into the small
  kernel of the convolution's backward.
- Sums accumulate in place.
- In evaluation mode batch norm becomes part of the convolution, and the batch
  may be taken in pieces, which stay in the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from network import Block, Layer, Supernet

aten = torch.ops.aten
Folded = tuple[Tensor, Tensor]  # a convolution's kernel and bias with its batch norm inside


@torch.no_grad()
def fold(net: Supernet) -> dict[object, Folded]:
    """The convolutions of all layers, and of the postprocessing by net.norm,
    with their batch norms on running statistics folded into them."""

    def folded(kernel: Tensor, norm: torch.nn.BatchNorm2d) -> Folded:
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.affine:
            scale = scale * norm.weight
        bias = -norm.running_mean * scale
        if norm.affine:
            bias = bias + norm.bias
        return kernel * scale[:, None, None, None], bias

    convolutions: dict[object, Folded] = {
        m: folded(m.conv.weight, m.norm) for m in net.modules() if isinstance(m, Layer)
    }
    convolutions[net.norm] = folded(net.postprocess.weight, net.norm)
    return convolutions


def max_pool(x: Tensor) -> Tensor:
    """3×3 max-pooling of stride 1, which separates into rows and columns. Unlike
    PyTorch's it does not note where the maximum was."""
    for dim in (2, 3):
        n, y = x.shape[dim], x.clone(memory_format=torch.preserve_format)
        for to, of in ((1, 0), (0, 1)):  # each entry with the one before it, then with the one behind it
            part = y.narrow(dim, to, n - 1)
            torch.maximum(part, x.narrow(dim, of, n - 1), out=part)
        x = y
    return x


def convolution_backward(g: Tensor, x: Tensor, kernel: Tensor, padding: int, data: bool, weights: bool):
    """The gradients of x and of the kernel, each None if it is not asked for."""
    dx, dw, _ = aten.convolution_backward(
        g, x, kernel, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], 1, [data, weights, False]
    )
    return dx, dw


def max_pool_backward(g: Tensor, x: Tensor, kernel: int, stride: int, indices: Tensor) -> Tensor:
    return aten.max_pool2d_with_indices_backward(
        g, x, [kernel, kernel], [stride, stride], [1, 1], [1, 1], False, indices
    )


class LayerPass:
    """A layer's forward pass, with what its backward pass needs. y is its output."""

    def __init__(self, layer: Layer, x: Tensor, folded: Folded | None):
        self.layer, self.folded, self.x = layer, folded, x
        self.padding = layer.conv.padding[0]
        if folded:
            self.y = F.relu_(F.conv2d(x, *folded, padding=self.padding))
            return
        norm = layer.norm
        self.c = F.conv2d(x, layer.conv.weight, padding=self.padding)
        self.y, *self.stats = aten.native_batch_norm(
            self.c, norm.weight, norm.bias, norm.running_mean, norm.running_var, True, norm.momentum, norm.eps
        )
        F.relu_(self.y)

    def backward(self, g: Tensor, m: float, data: bool, weights: bool) -> tuple[Tensor | None, Tensor]:
        """Given the gradient g of m·y, that of x (None unless data) and that of
        m. With weights, also stores those of the layer's parameters."""
        conv, norm = self.layer.conv, self.layer.norm
        if self.folded:
            dm = (g * self.y).sum()
            g = aten.threshold_backward(g, self.y, 0)
            kernel = self.folded[0]
        else:
            g, dscale, dshift = aten.native_batch_norm_backward(
                aten.threshold_backward(g, self.y, 0), self.c, norm.weight, norm.running_mean, norm.running_var,
                *self.stats, True, norm.eps, [True, True, True],
            )  # fmt: skip
            dm = dscale.dot(norm.weight) + dshift.dot(norm.bias)
            kernel = conv.weight
        dx, dw = convolution_backward(g, self.x, kernel * m, self.padding, data, weights)
        if weights:
            conv.weight.grad, norm.weight.grad, norm.bias.grad = dw.mul_(m), dscale.mul_(m), dshift.mul_(m)
        return dx, dm


class BlockPass:
    """A choice block's forward pass on the sum u of its inputs, mixed by three
    weights. s is its output."""

    def __init__(self, block: Block, projection: LayerPass, u: Tensor, weights: list[float], pass_: Pass):
        self.projection, self.u, self.weights = projection, u, weights
        if pass_.keep:
            self.pool, self.indices = F.max_pool2d(u, 3, 1, 1, return_indices=True)
        else:
            self.pool = max_pool(u)
        self.conv3, self.conv1 = pass_.layer(block.conv3, u), pass_.layer(block.conv1, u)
        self.s = self.pool * weights[0]
        self.s.add_(self.conv3.y, alpha=weights[1]).add_(self.conv1.y, alpha=weights[2])

    def backward(self, g: Tensor, weights: bool) -> tuple[Tensor, Tensor]:
        """Given the gradient g of s, those of u and of the three weights."""
        du, d3 = self.conv3.backward(g, self.weights[1], True, weights)
        dx, d1 = self.conv1.backward(g, self.weights[2], True, weights)
        du.add_(dx).add_(max_pool_backward(g, self.u, 3, 1, self.indices), alpha=self.weights[0])
        return du, torch.stack([(g * self.pool).sum(), d3, d1])


class CellPass:
    """A cell's forward pass. y is its output."""

    def __init__(self, pass_: Pass, cell: torch.nn.Module, x: Tensor):
        self.space, self.weights = pass_.net.space, pass_.weights
        mixed, output, inputs = self.weights
        self.direct = pass_.layer(cell.projections[-1], x)
        self.y = self.direct.y * output[0]
        channels = self.y.shape[1] // self.space.blocks
        self.blocks: list[BlockPass] = []
        for k, block in enumerate(cell.blocks):
            projection = pass_.layer(cell.projections[k], x)
            w = inputs.get(k + 1, [1.0] * (k + 1))
            u = projection.y * w[0] if k > 0 else projection.y
            for a, earlier in zip(w[1:], self.blocks):
                u.add_(earlier.s, alpha=a)
            done = BlockPass(block, projection, u, mixed[k], pass_)
            self.y[:, k * channels : (k + 1) * channels].add_(done.s, alpha=output[k + 1])
            self.blocks.append(done)

    def backward(self, g: Tensor, data: bool, weights: bool, gradient: Tensor) -> Tensor | None:
        """Given the gradient g of y, that of x (None unless data). Adds those of
        the mixing vector to gradient."""
        mixed, output, inputs = self.space.split(gradient)
        _, o, e = self.weights
        dx, d = self.direct.backward(g, o[0], data, weights)
        output[0] += d
        ds: list[Tensor | None] = [None] * len(self.blocks)
        channels = g.shape[1] // len(self.blocks)

        def accumulate(j: int, g: Tensor, a: float) -> None:
            ds[j] = g * a if ds[j] is None else ds[j].add_(g, alpha=a)

        for k in reversed(range(len(self.blocks))):
            block = self.blocks[k]
            part = g[:, k * channels : (k + 1) * channels]
            output[k + 1] += (part * block.s).sum()
            accumulate(k, part, o[k + 1])
            du, d = block.backward(ds[k], weights)
            ds[k] = None
            mixed[k] += d
            w = e.get(k + 1, [1.0] * (k + 1))
            for j in range(k):
                if k + 1 in e:
                    inputs[k + 1][j + 1] += (du * self.blocks[j].s).sum()
                accumulate(j, du, w[j + 1])
            dp, d = block.projection.backward(du, w[0], data, weights)
            if k + 1 in e:
                inputs[k + 1][0] += d
            if data:
                dx.add_(dp)
        return dx


class Pass:
    """A forward pass of a supernet over images with a mixing vector: in training
    mode, or in evaluation mode if the folded convolutions are given. Unless keep,
    there is no backward pass."""

    def __init__(self, net: Supernet, images: Tensor, mixing: Tensor, folded: dict[object, Folded] | None, keep: bool):
        self.net, self.folded, self.keep = net, folded, keep
        mixed, output, inputs = net.space.split(mixing)
        self.weights = mixed.tolist(), output.tolist(), {k: w.tolist() for k, w in inputs.items()}
        self.dim = mixing.shape
        self.stem = self.layer(net.stem, images)
        x = self.stem.y
        self.cells: list[CellPass] = []
        self.pooled: dict[int, tuple[Tensor, Tensor]] = {}  # what was pooled before a cell, and the maxima's places
        for i, cell in enumerate(net.cells):
            if i in net.pooled:
                before = x
                x, indices = F.max_pool2d(x, 2, 2, 1, return_indices=True)
                self.pooled[i] = before, indices
            done = CellPass(self, cell, x)
            x = done.y
            if keep:
                self.cells.append(done)
        self.r = F.relu(x)
        norm = net.norm
        if folded:
            x = F.conv2d(self.r, *folded[norm])
        else:
            self.c = F.conv2d(self.r, net.postprocess.weight)
            x, *self.stats = aten.native_batch_norm(
                self.c, None, None, norm.running_mean, norm.running_var, True, norm.momentum, norm.eps
            )
        self.shape = x.shape
        self.features = x.mean(dim=(2, 3))
        self.logits = net.classifier(self.features)

    def layer(self, layer: Layer, x: Tensor) -> LayerPass:
        return LayerPass(layer, x, self.folded[layer] if self.folded else None)

    def backward(self, g: Tensor, weights: bool = False) -> Tensor:
        """Given the gradient g of the logits, that of the mixing vector. With
        weights, also stores those of all parameters."""
        net, norm = self.net, self.net.norm
        if weights:
            net.classifier.weight.grad, net.classifier.bias.grad = g.t() @ self.features, g.sum(dim=0)
        g = g @ net.classifier.weight / (self.shape[2] * self.shape[3])
        g = g[:, :, None, None].expand(self.shape).contiguous(memory_format=torch.channels_last)
        if self.folded:
            kernel = self.folded[norm][0]
        else:
            kernel = net.postprocess.weight
            g, _, _ = aten.native_batch_norm_backward(
                g, self.c, None, norm.running_mean, norm.running_var, *self.stats, True, norm.eps, [True, False, False]
            )
        g, dw = convolution_backward(g, self.r, kernel, 0, True, weights)
        if weights:
            net.postprocess.weight.grad = dw
        g = aten.threshold_backward(g, self.r, 0)
        gradient = g.new_zeros(self.dim)
        for i in reversed(range(len(self.cells))):
            data = weights or i > 0  # below the first cell there are only weights
            g = self.cells[i].backward(g, data, weights, gradient)
            if data and i in self.pooled:
                before, indices = self.pooled[i]
                g = max_pool_backward(g, before, 2, 2, indices)
        if weights:
            self.stem.backward(g, 1.0, False, True)
        return gradient
