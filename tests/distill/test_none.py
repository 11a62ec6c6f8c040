from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from kdray.distill.none import NEEDS, Method, Params
from kdray.net import Look


def test_the_loss_is_minus_the_log_of_the_share_of_the_true_class(batch: Any) -> None:
    made = batch()
    z, _, y = made.arrays()
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = -np.mean([np.log(shares[i, label]) for i, label in enumerate(y)])
    terms = Method(Params())(Look(made.student), None, made.labels)
    assert list(terms) == ["labels"]
    assert terms["labels"].item() == pytest.approx(expected, rel=1e-12)


def test_binary_cross_entropy_asks_each_class_for_itself(batch: Any) -> None:
    made = batch()
    z, _, y = made.arrays()
    p = 1 / (1 + np.exp(-z))
    each = [
        -np.log(p[i, k] if k == label else 1 - p[i, k])
        for i, label in enumerate(y)
        for k in range(z.shape[1])
    ]
    terms = Method(Params(labels="bce"))(Look(made.student), None, made.labels)
    assert terms["labels"].item() == pytest.approx(np.mean(each), rel=1e-12)


def test_it_needs_nothing_of_a_teacher() -> None:
    assert NEEDS == ()


def test_it_has_no_weights_to_set() -> None:
    with pytest.raises(ValidationError, match="alpha"):
        Params.model_validate({"alpha": 0.5})
