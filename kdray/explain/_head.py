"""A forward pass whose gradients begin at a tap, by the quickest way that the network allows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from kdray.explain._subject import Road, Subject
from kdray.explain._watch import hooked
from kdray.net import Net, Tap

#: Dimensions of the places in a layer's output; tokens have none that a network pools.
PLACES = {"NCHW": (2, 3), "NHWC": (1, 2)}
#: Two ways to the same numbers differ by less than this share of the largest.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Head:
    """A forward pass whose gradients begin at a tap.

    Args:
        logits: ``[B, C]``.
        output: Where gradients begin, a leaf: what the layer at the tap gave, in its own layout,
            or the mean of it over the places, in the same layout with a single place.
        maps: What the layer gave, as ``[B, D, h, w]``, without gradient.
        tap: The tap.
    """

    logits: Tensor
    output: Tensor
    maps: Tensor
    tap: Tap


def head_from(subject: Subject, tap: str, images: Tensor) -> Head:
    """Return one forward pass that keeps nothing before the tap.

    A backward pass from the logits then ends at the tap, and its gradients there are those of a
    backward pass through the whole network. The first call for a tap and a size of images finds
    the quickest way (``Road``), for which it may pass the images through the network once more.

    Args:
        subject: The classifier.
        tap: Name of the tap.
        images: ``[B, c, H, W]``.

    Raises:
        ModelError: The network has no such tap.
    """
    layer, place = subject.net.layer(tap), subject.net.taps[tap]
    key = (place, images.shape[1:])
    if key in subject.roads:
        return _walk(subject.net, layer, place, images, subject.roads[key])
    head, subject.roads[key] = _explore(subject.net, layer, place, images)
    return head


def gradients_of(head: Head, classes: Tensor) -> Tensor:
    """Return the gradients of the logits of ``classes[:, 0]``, ``classes[:, 1]``, ... at a tap.

    Args:
        head: The forward pass.
        classes: int64 ``[B, K]``.

    Returns:
        ``[K, B, D, h, w]``, from one backward pass for all classes; ``[K, B, D, 1, 1]`` where the
        network takes the mean over the places, so that all of them have the same gradient.
    """
    gradients = _backwards(head, classes)
    maps = head.tap.as_maps(gradients.flatten(0, 1))
    shared = head.maps.shape[2:].numel() // maps.shape[2:].numel()
    return torch.unflatten(maps / shared if shared > 1 else maps, 0, (classes.shape[1], -1))


def _backwards(head: Head, classes: Tensor, keep: bool = False) -> Tensor:
    count = classes.shape[1]
    chosen = head.logits.new_zeros((count, *head.logits.shape))
    chosen.scatter_(2, classes.T[:, :, None], 1.0)
    one = count == 1  # a batch of one would cost more
    [gradients] = torch.autograd.grad(
        head.logits,
        head.output,
        chosen[0] if one else chosen,
        is_grads_batched=not one,
        retain_graph=keep,
    )
    return gradients[None] if one else gradients


def _explore(net: Net, layer: nn.Module, tap: Tap, images: Tensor) -> tuple[Head, Road]:
    """Return a forward pass, and the quickest way for the next ones."""
    road = Road()
    try:
        head = _walk(net, layer, tap, images, road)
    except RuntimeError:  # a tensor of inference mode went past the tap to one with gradient
        road = Road(inference=False)
        head = _walk(net, layer, tap, images, road)
    if not _reads_only_mean(head):
        return head, road
    shorter = replace(road, by_mean=True)
    is_right = _agree(head, _walk(net, layer, tap, images, shorter))
    return head, shorter if is_right else road


def _walk(net: Net, layer: nn.Module, tap: Tap, images: Tensor, road: Road) -> Head:
    trunk = ExitStack()
    starts: list[tuple[Tensor, Tensor]] = []

    def restart(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        trunk.close()
        start = output.mean(PLACES[tap.layout], keepdim=True) if road.by_mean else output
        leaf = (start.clone() if start.is_inference() else start.detach()).requires_grad_()
        starts.append((leaf, output if road.by_mean else leaf.detach()))
        # A clone, for the next layer may work in place, which a leaf with gradient forbids.
        return leaf.clone()

    with torch.enable_grad(), hooked(layer, restart), trunk:
        trunk.enter_context(torch.inference_mode() if road.inference else torch.no_grad())
        logits = net.module(images)
    leaf, values = starts[0]
    return Head(logits, leaf, tap.as_maps(values), tap)


def _reads_only_mean(head: Head) -> bool:
    """Return whether the only use of the tap is one mean over all its places."""
    places = PLACES.get(head.tap.layout, ())
    if head.output.ndim != 4 or not places:
        return False
    users = _users(head.logits)
    leaves = [node for node in users if getattr(node, "variable", None) is head.output]
    clones = users[leaves[0]] if leaves else []
    readers = users[clones[0]] if len(clones) == 1 else []
    return len(readers) == 1 and _averaged(readers[0]) == {place % 4 for place in places}


def _averaged(node: Any) -> set[int]:
    """Return the dimensions of four that a step of the backward pass averaged; none: another."""
    if node.name() != "MeanBackward1" or len(node._saved_self_sym_sizes) != 4:
        return set()
    return {dimension % 4 for dimension in node._saved_dim or ()}  # -1 is 2**64 - 1 there


def _users(result: Tensor) -> dict[Any, list[Any]]:
    """Return all steps of a result's backward pass, each with those that used what it gave."""
    users: dict[Any, list[Any]] = {result.grad_fn: []} if result.grad_fn else {}
    waiting = list(users)
    while waiting:
        node = waiting.pop()
        for source, _ in node.next_functions:
            if source is not None and source not in users:
                users[source] = []
                waiting.append(source)
            if source is not None:
                users[source].append(node)
    return users


def _agree(head: Head, other: Head) -> bool:
    """Return whether two forward passes have the same logits, and gradients of the first."""
    classes = torch.zeros(len(head.logits), 1, dtype=torch.int64, device=head.logits.device)
    ours, theirs = (_backwards(one, classes, keep=True)[0] for one in (head, other))
    places = PLACES[head.tap.layout]
    return _close(head.logits, other.logits) and _close(ours.sum(places, keepdim=True), theirs)


def _close(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    return bool((ours - theirs).abs().max() <= ROUNDING * ours.abs().max())
