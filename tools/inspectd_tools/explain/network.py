"""A copy of a classifier in which every activation is a separate module and no module works in place.

Attribution methods hook modules. A module that is called twice (the ReLU in the blocks of ResNet), a module that overwrites
its input, and a product or ReLU6 that the methods do not know give wrong maps without any error.
"""

import operator
from copy import deepcopy
from typing import Literal, cast

import torch
from torch import Tensor, fx, nn

from inspectd_tools.explain.rules import ClippedReLU, Exponential, MaxPool, Mean, Product, Square
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import DuqHead, FoldedDuqHead
from inspectd_tools.networks.torchvision_compat import torchvision

Target = Literal["contrast", "class", "certainty"]
"""class: log K_c of DUQ, or the logit of the class before the softmax, which mixes the classes.
contrast: the same minus the mean of the other classes, as the authors of DeepLift advise. For a certain image log K_c is
at its maximum, where its gradient vanishes; only the other classes show what distinguishes the image.
certainty: K_c, or the probability."""

_NONLINEAR_HEAD = {"Square", "Exponential", "Softmax"}
_LINEAR_MODULES = (
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.Linear,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    torchvision.ops.StochasticDepth,
)
"""Linear in evaluation mode."""
_LINEAR_FUNCTIONS = (operator.add, operator.getitem, operator.floordiv, torch.cat, torch.flatten, torch.transpose)
_LINEAR_METHODS = ("chunk", "view", "contiguous", "size")


class Network(nn.Module):
    """(N, C, H, W) normalised float -> (N, classes) of the target. It computes where the classifier does, from and to the CPU.

    `activations`: names of its non-linear operations; `unknown`: operations that this module does not know.
    """

    def __init__(self, classifier: Classifier, target: Target) -> None:
        super().__init__()
        self.backbone, nonlinear, self.unknown = _taken_apart(classifier.backbone)
        self.pool = deepcopy(classifier.pool)
        self.head, of_head = _head(classifier.head, target)
        self.activations = nonlinear | of_head
        self.device = classifier.device
        self.to(self.device).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.pool(self.backbone(images.to(self.device)))).cpu())


def _head(head: nn.Module, target: Target) -> tuple[nn.Module, frozenset[str]]:
    """From features to the target, and the names of the non-linear operations in it."""
    layers: list[nn.Module]
    if isinstance(head, DuqHead):
        folded = FoldedDuqHead(head)
        classes, _ = folded.shape
        layers = [folded.linear, nn.Unflatten(1, folded.shape), Square(), Mean(folded.factor)]
        certainty: nn.Module = Exponential()
    else:
        linear = deepcopy(cast(nn.Linear, head.linear))
        classes, layers, certainty = linear.out_features, [linear], nn.Softmax(dim=1)
    if target == "contrast":
        layers.append(_contrast(classes))
    if target == "certainty":
        layers.append(certainty)
    return nn.Sequential(*layers), frozenset(type(layer).__name__ for layer in layers) & _NONLINEAR_HEAD


def _contrast(classes: int) -> nn.Linear:
    """Each class minus the mean of the others."""
    layer = nn.Linear(classes, classes, bias=False)
    own, others = torch.eye(classes), (1 - torch.eye(classes)) / (classes - 1)
    layer.weight = nn.Parameter(own - others)
    return layer


def _taken_apart(backbone: nn.Module) -> tuple[fx.GraphModule, frozenset[str], frozenset[str]]:
    root = deepcopy(backbone)
    network = fx.GraphModule(root, _Tracer().trace(root))
    nonlinear, unknown = set(), set()
    for node in list(network.graph.nodes):
        if node.op in ("placeholder", "output", "get_attr") or _is_linear(node, network):
            continue
        own = _own_module(node, network)
        if own is None:
            unknown.add(_name(node, network))
            continue
        nonlinear.add(_name(node, network))
        name = f"own_{node.name}"
        network.add_submodule(name, own)
        with network.graph.inserting_before(node):
            # if one tensor left a hooked module and entered the next, Captum's hooks would see it in the wrong order
            inputs = tuple(network.graph.call_function(torch.clone, (given,)) for given in node.args)
            node.replace_all_uses_with(network.graph.call_module(name, inputs))
        network.graph.erase_node(node)
    network.delete_all_unused_submodules()
    network.recompile()
    return network, frozenset(nonlinear), frozenset(unknown)


def _is_linear(node: fx.Node, network: fx.GraphModule) -> bool:
    if node.target is operator.iadd:
        node.target = operator.add
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), _LINEAR_MODULES)
    return node.target in (_LINEAR_FUNCTIONS if node.op == "call_function" else _LINEAR_METHODS)


def _own_module(node: fx.Node, network: fx.GraphModule) -> nn.Module | None:
    if node.op != "call_module":
        return Product() if node.target is operator.mul else None
    match network.get_submodule(str(node.target)):
        case nn.ReLU():
            return nn.ReLU()
        case nn.ReLU6():
            return ClippedReLU(6.0)
        case nn.SiLU():
            return nn.SiLU()
        case nn.Sigmoid():
            return nn.Sigmoid()
        case nn.MaxPool2d() as pool:
            return MaxPool(pool.kernel_size, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode)
    return None


def _name(node: fx.Node, network: fx.GraphModule) -> str:
    if node.op == "call_module":
        return type(network.get_submodule(str(node.target))).__name__
    return "Product" if node.target is operator.mul else getattr(node.target, "__name__", str(node.target))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LINEAR_MODULES) or bool(super().is_leaf_module(m, module_qualified_name))


def as_double(network: Network) -> Network:
    """A copy in float64."""
    return deepcopy(network).double()
