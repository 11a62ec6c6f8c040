"""``promote`` of a job: which student becomes a registry version, and what an alias demands."""

from __future__ import annotations

from pydantic import Field

from kdray.spec.strict import Name, Strict


class Require(Strict):
    """What a version must reach before the alias moves to it; what is null is not asked."""

    min_macro_f1: float | None = Field(None, ge=0, le=1)
    """Least macro F1 on the validation split."""
    max_latency_ms: float | None = Field(None, gt=0)
    """Most milliseconds for one image, as the job measured them."""
    min_agreement: float | None = Field(None, ge=-1, le=1)
    """Least mean Pearson correlation of its maps with those of its teacher, by the first method
    that was scored."""
    beats_champion: bool = False
    """It must have a higher macro F1 than the version that the alias points at now, by a paired
    test on the validation images of both."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the interval of that test, whose lower end must be above 0."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        limits = (self.min_macro_f1, self.max_latency_ms, self.min_agreement)
        return not self.beats_champion and all(limit is None for limit in limits)


class Promote(Strict):
    """Which student becomes a registry version."""

    name: Name | None = None
    """Name in the registry; null: the job's name."""
    registry: str = "registry"
    """URI of the registry: a folder or s3://bucket/prefix."""
    alias: Name = "champion"
    """The alias that moves to the new version."""
    require: Require = Require()
    """What the new version must reach before the alias moves to it."""
    samples: int = Field(0, ge=0, le=64)
    """Validation images that travel with the model, for users to try; they are images of patients
    unless yours are not."""
