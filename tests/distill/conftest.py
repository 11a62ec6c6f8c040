"""Batches that every method is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from kdray.net import Look


@dataclass(frozen=True)
class Batch:
    student: Tensor
    teacher: Tensor
    labels: Tensor

    def looks(self) -> tuple[Look, Look, Tensor]:
        return Look(self.student), Look(self.teacher), self.labels

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.student.detach().numpy(), self.teacher.numpy(), self.labels.numpy()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute small tensors in one thread: more would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Make seeded logits [size, classes]; the student's ask for a gradient."""

    def make(
        size: int = 6, classes: int = 4, scale: float = 2.0, dtype: torch.dtype = torch.float64
    ) -> Batch:
        random = torch.Generator().manual_seed(7)
        student, teacher = torch.randn(2, size, classes, generator=random, dtype=dtype) * scale
        labels = torch.randint(classes, (size,), generator=random)
        return Batch(student.requires_grad_(), teacher, labels)

    return make
