"""Terms that several methods share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdray.distill._method import need_teacher
from kdray.net import Look


def exact(logits: Tensor) -> Tensor:
    """Return logits in at least float32: exponentials of 16-bit numbers are too coarse."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def teacher_logits(method: str, teacher: Look | None) -> Tensor:
    """Return the teacher's logits ``[B, C]``, exact and without a gradient.

    Args:
        method: Name of the method, for the error.
        teacher: What is seen of the teacher.

    Raises:
        ModelError: There is no teacher.
    """
    return exact(need_teacher(method, teacher).logits.detach())


def map_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared distance of two maps, mean over all elements and the batch.

    Args:
        student: ``[B, D, h, w]``.
        teacher: ``[B, D, h, w]``; it gets no gradient.
    """
    ours, theirs = exact(student), exact(teacher.detach())
    if ours.is_contiguous(memory_format=torch.channels_last):
        # The same numbers in their order in memory: torch is several times faster on plain ones.
        ours, theirs = ours.permute(0, 2, 3, 1), theirs.permute(0, 2, 3, 1)
    return F.mse_loss(ours, theirs.contiguous())


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over the batch of -log softmax(z)_y, nats.

    Args:
        logits: ``[B, C]``.
        labels: Class indices ``[B]``.
    """
    return F.cross_entropy(exact(logits), labels)


def label_loss(logits: Tensor, labels: Tensor, loss: str = "cross_entropy") -> Tensor:
    """Return the loss of the labels, nats, mean over the batch.

    Args:
        logits: ``[B, C]``.
        labels: Class indices ``[B]``.
        loss: ``cross_entropy``, or ``bce``: -log sigmoid(z_y) - sum over the other classes of
            log(1 - sigmoid(z)), divided by ``C`` (XKD, eq. 2; DFKD, eq. 1 for a single logit).
    """
    if loss == "cross_entropy":
        return cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(exact(logits), one_hot(labels, logits))


def softened_kl(
    student: Tensor,
    teacher: Tensor,
    T: float,
    *,
    normalise: str = "batch_mean",
    direction: str = "teacher_student",
) -> Tensor:
    """Return T² KL(softmax(z_t/T) || softmax(z_s/T)), nats, summed over classes, mean over ``B``.

    T² keeps the size of the gradient when T changes (Hinton et al., 2015, section 2).

    Args:
        student: Logits ``[B, C]``.
        teacher: Logits ``[B, C]``.
        T: Temperature, above 0.
        normalise: ``batch_mean``, or ``batch_times_classes``: that divided by ``C``, as the code
            of DeiT and HDKD does.
        direction: ``teacher_student`` as above (Hinton et al.; XKD, eq. 1), or
            ``student_teacher``: KL(softmax(z_s/T) || softmax(z_t/T)) (printed in DFKD, eq. 5).
    """
    ours = F.log_softmax(exact(student) / T, dim=1)
    theirs = F.log_softmax(exact(teacher) / T, dim=1)
    given, wanted = (ours, theirs) if direction == "teacher_student" else (theirs, ours)
    apart = F.kl_div(given, wanted, reduction="batchmean", log_target=True) * T**2
    return apart if normalise == "batch_mean" else apart / student.shape[1]


def focal_bce(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Return the focal binary cross-entropy, nats, mean over the batch and the labels.

    With p = sigmoid(z): -(1 - p)^gamma log p where the target is 1, -p^gamma log(1 - p) where it
    is 0. Both are -sigmoid(-m)^gamma log sigmoid(m) of the margin m = z or -z, in logarithms, so
    that no probability is rounded to 0.

    Args:
        logits: ``[B, C]``.
        targets: 0 or 1, ``[B, C]``.
        gamma: Focus on hard labels; 0 gives the plain binary cross-entropy.
    """
    margin = exact(logits) * (2 * targets - 1)
    focus = torch.exp(gamma * F.logsigmoid(-margin))
    return -(focus * F.logsigmoid(margin)).mean()


def softened_mse(student: Tensor, teacher: Tensor, T: float) -> Tensor:
    """Return T² (sigmoid(z_s/T) - sigmoid(z_t/T))², mean over the labels and the batch.

    Args:
        student: Logits ``[B, C]``.
        teacher: Logits ``[B, C]``.
        T: Temperature, above 0.
    """
    return F.mse_loss(torch.sigmoid(exact(student) / T), torch.sigmoid(exact(teacher) / T)) * T**2


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Return targets ``[B, C]``: 1 at the label, else 0, in the type of ``like`` ``[B, C]``."""
    return F.one_hot(labels, like.shape[1]).to(exact(like).dtype)
