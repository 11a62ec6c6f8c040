"""What each score of explanations means: the one table that report, commands and documents use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Definition:
    """One score.

    Args:
        name: As in results.json.
        title: As in tables; "Fn" is its number among the candidates for the transparency paper's
            fidelity.
        text: One sentence. ``x`` is the image, ``E`` its map, ``f`` the probability of the
            explained class.
        better: Which direction is better; "" for a level that others are read against, and
            where neither is.
        source: Where it comes from.
        group: What it is a score of.
    """

    name: str
    title: str
    text: str
    better: Literal["low", "high", ""]
    source: str
    group: Literal["faithfulness", "localisation", "agreement", "sanity", "cost"]


_FAITHFUL = (
    (
        "deletion_auc",
        "Deletion AUC",
        "Area under f as the hottest pixels are replaced by the image's mean colour in 20 equal "
        "shares.",
        "low",
        "RISE, Petsiuk et al. 2018, arXiv:1806.07421",
    ),
    (
        "insertion_auc",
        "Insertion AUC",
        "Area under f as the hottest pixels are put back into the blurred image (Gaussian of a "
        "tenth of its side) in 20 equal shares.",
        "high",
        "RISE, Petsiuk et al. 2018, arXiv:1806.07421",
    ),
    (
        "average_drop",
        "Average drop",
        "max(0, f(x) - f(E x)) / f(x).",
        "low",
        "Grad-CAM++, Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    (
        "increase",
        "Increase in confidence",
        "Share of images with f(E x) > f(x).",
        "high",
        "Grad-CAM++, Chattopadhay et al. 2018, arXiv:1710.11063",
    ),
    (
        "label_agreement",
        "Label kept (F1)",
        "Share of images whose predicted class stays when only E x is seen.",
        "high",
        "candidate for the fidelity of arXiv:2502.15959, whose formula is unknown",
    ),
    (
        "retention",
        "Retention (F2)",
        "min(1, f(E x) / f(x)) = 1 - average drop.",
        "high",
        "1 - average drop of Grad-CAM++, arXiv:1710.11063; candidate for fidelity",
    ),
    (
        "prediction_change",
        "Prediction kept (F3)",
        "1 - |f(x) - f(E x)|.",
        "high",
        "family of Fidelity+ and Fidelity-; candidate for fidelity",
    ),
    (
        "removal_correlation",
        "Removal correlation (F4)",
        "Pearson correlation, over the 20 shares of the deletion, between the sum of E in a share "
        "and the drop of f as it goes.",
        "high",
        "after faithfulness correlation, Bhatt et al. 2020, arXiv:2005.00631; candidate for "
        "fidelity",
    ),
    (
        "input_similarity",
        "Input similarity (F5)",
        "Pearson correlation between E and the brightness of the image: how far a map is a copy "
        "of it, which says nothing of the model.",
        "",
        "candidate for fidelity by similarity; a guess",
    ),
)
_LOCAL = (
    (
        "pointing_hit",
        "Pointing game",
        "Share of images with a lesion whose hottest pixel lies inside it, without tolerance.",
        "high",
        "Zhang et al. 2016, arXiv:1608.00507",
    ),
    (
        "energy_inside",
        "Energy inside",
        "Share of the map's sum that lies inside the lesion.",
        "high",
        "Score-CAM, Wang et al. 2020, arXiv:1910.01279",
    ),
    (
        "iou_best",
        "Best IoU",
        "Largest intersection over union of the lesion with the pixels above a threshold, over "
        "all thresholds, chosen for each image: an upper bound.",
        "high",
        "Jaccard index at the best threshold",
    ),
    (
        "iou_half",
        "IoU at half",
        "Intersection over union of the lesion with the pixels of at least half the map's largest "
        "value.",
        "high",
        "Jaccard index at a fixed threshold",
    ),
)
_CHANCE = "The same for the teacher's map of one image and the student's maps of up to 10 others."
_ALIKE = (
    (
        "pearson",
        "Pearson",
        "Correlation over the pixels of the maps of teacher and student, on a grid of at most "
        "56 x 56.",
        "high",
        "Pearson correlation",
    ),
    (
        "ssim",
        "SSIM",
        "Structural similarity of the two maps on that grid: Gaussian window of 11 x 11, standard "
        "deviation 1.5, data range 1.",
        "high",
        "Wang et al. 2004, doi:10.1109/TIP.2003.819861",
    ),
    (
        "iou20",
        "IoU top 20%",
        "Intersection over union of the pixels above each map's own 80th percentile.",
        "high",
        "Jaccard index",
    ),
    ("chance_pearson", "Pearson by chance", _CHANCE, "", "chance level of pearson"),
    ("chance_ssim", "SSIM by chance", _CHANCE, "", "chance level of ssim"),
    ("chance_iou20", "IoU top 20% by chance", _CHANCE, "", "chance level of iou20"),
    (
        "top1_agreement",
        "Top-1 agreement (F6)",
        "Share of images that student and teacher call the same: a score of predictions, not of "
        "maps.",
        "high",
        "fidelity of distillation, Stanton et al. 2021, arXiv:2106.05945",
    ),
)
_SANE = (
    (
        "randomised_ssim",
        "SSIM, weights randomised",
        "Structural similarity of the maps before and after all weights are drawn anew; a map "
        "that stays does not show what was learned.",
        "low",
        "Adebayo et al. 2018, arXiv:1810.03292",
    ),
    (
        "randomised_pearson",
        "Pearson, weights randomised",
        "Correlation of the maps before and after all weights are drawn anew.",
        "low",
        "Adebayo et al. 2018, arXiv:1810.03292",
    ),
    (
        "randomised_chance",
        "SSIM of random pairs",
        "Mean structural similarity of 50 random pairs of maps of different images; the check is "
        "passed where randomised_ssim is lower.",
        "",
        "Arun et al. 2021, doi:10.1148/ryai.2021200267",
    ),
    (
        "stability",
        "Stability",
        "Mean correlation of a map with those of copies of its image under Gaussian noise of 2% "
        "of the pixel range.",
        "high",
        "mean over noise, with the noise of max-sensitivity",
    ),
    (
        "max_sensitivity",
        "Max-sensitivity",
        "Largest relative change of the map, ||E(x + noise) - E(x)|| / ||E(x)||, over the same "
        "copies.",
        "low",
        "Yeh et al. 2019, arXiv:1901.09392",
    ),
)
_COST = (
    (
        "met_ms",
        "MET (ms)",
        "Mean explanation time of one image at batch size 1, its forward passes included, without "
        "the first image, which warms up.",
        "low",
        "arXiv:2502.15959",
    ),
    (
        "met_forwards",
        "MET / forward",
        "Explanation time of an image over that of a plain forward pass of it just before, median "
        "over images.",
        "low",
        "ratio in one run",
    ),
    (
        "forwards",
        "Forwards",
        "Images that went through the network for one map.",
        "low",
        "counted",
    ),
)
_GROUPS = {
    "faithfulness": _FAITHFUL,
    "localisation": _LOCAL,
    "agreement": _ALIKE,
    "sanity": _SANE,
    "cost": _COST,
}
#: Name -> what the score means.
DEFINITIONS: Mapping[str, Definition] = {
    row[0]: Definition(*row, group=group)  # type: ignore[arg-type]
    for group, rows in _GROUPS.items()
    for row in rows
}
