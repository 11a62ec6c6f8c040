"""Maps of what a network looked at, as arrays and as pictures; without PyTorch."""

from kdray.maps.explanation import REMEDY, Explanation
from kdray.maps.levels import shown_levels
from kdray.maps.picture import heat_map, overlay

__all__ = ["REMEDY", "Explanation", "heat_map", "overlay", "shown_levels"]
