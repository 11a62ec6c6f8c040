"""Results to numbers: scores, intervals, cost, agreement of explanations."""

from kdray.measure._maps import GRID, on_grid, random_maps
from kdray.measure.agreement import map_agreement, top1_agreement
from kdray.measure.cost import cost, costs
from kdray.measure.definitions import DEFINITIONS, Definition
from kdray.measure.faithfulness import MapScores, map_scores, over_images
from kdray.measure.fast import validation_scores
from kdray.measure.localisation import localisation
from kdray.measure.removal import Removal
from kdray.measure.robustness import Randomised, RandomisedStage, randomisation, stability
from kdray.measure.scores import scores
from kdray.measure.statistics import (
    bootstrap_interval,
    interval,
    paired_bootstrap,
    paired_bootstrap_of_runs,
    paired_difference,
)

__all__ = [
    "DEFINITIONS",
    "GRID",
    "Definition",
    "MapScores",
    "Randomised",
    "RandomisedStage",
    "Removal",
    "bootstrap_interval",
    "cost",
    "costs",
    "interval",
    "localisation",
    "map_agreement",
    "map_scores",
    "on_grid",
    "over_images",
    "paired_bootstrap",
    "paired_bootstrap_of_runs",
    "paired_difference",
    "random_maps",
    "randomisation",
    "scores",
    "stability",
    "top1_agreement",
    "validation_scores",
]
