"""Results to numbers: scores, intervals, cost, agreement of explanations."""

from kdray.measure.agreement import map_agreement, pointing_game
from kdray.measure.cost import cost, costs
from kdray.measure.faithfulness import faithfulness, masked, over_images
from kdray.measure.fast import validation_scores
from kdray.measure.scores import scores
from kdray.measure.statistics import (
    bootstrap_interval,
    interval,
    paired_bootstrap,
    paired_bootstrap_of_runs,
    paired_difference,
)

__all__ = [
    "bootstrap_interval",
    "cost",
    "costs",
    "faithfulness",
    "interval",
    "map_agreement",
    "masked",
    "over_images",
    "paired_bootstrap",
    "paired_bootstrap_of_runs",
    "paired_difference",
    "pointing_game",
    "scores",
    "validation_scores",
]
