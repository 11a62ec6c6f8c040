"""Maps are compared where both show something; what is blank is counted, and on which side."""

from __future__ import annotations

import numpy as np
import pytest

from kdray.bench._likeness import is_blank, likeness, pearson

RAMP = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
BLANK = np.zeros((4, 4), dtype=np.float32)


def test_a_map_and_its_mirror_are_opposite() -> None:
    assert pearson(RAMP, RAMP * 3 + 1) == pytest.approx(1)
    assert pearson(RAMP, 1 - RAMP) == pytest.approx(-1)


def test_constant_maps_and_maps_of_nan_are_blank() -> None:
    assert is_blank(BLANK)
    assert is_blank(np.full((4, 4), np.nan, dtype=np.float32))
    assert not is_blank(RAMP)


def test_blank_maps_are_left_out_and_counted_by_side() -> None:
    pairs = [(RAMP, RAMP), (BLANK, RAMP), (RAMP, BLANK), (RAMP, BLANK), (BLANK, BLANK)]
    found = likeness(pairs)
    assert found.compared == pytest.approx([1])
    assert (found.blank_here, found.blank_there, found.blank_both) == (1, 2, 1)
    assert "1 maps" in found.said
    assert "1 blank in both" in found.said
    assert "2 blank there alone" in found.said


def test_nothing_left_out_is_not_talked_about() -> None:
    assert likeness([(RAMP, RAMP)]).said == "1 maps"
