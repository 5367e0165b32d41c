"""The settings of a ``translate`` stage, as a recipe writes them."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from typing_extensions import Self

from acclimate.data.transforms import Transform
from acclimate.io.identity import speed_only
from acclimate.models.cyclegan import Upsampling
from acclimate.training.schedule import Schedule
from acclimate.training.trackers import TrackerName

Translator = Literal["cyclegan", "histogram", "mean-std"]
TRANSLATORS: tuple[Translator, ...] = ("cyclegan", "histogram", "mean-std")
COLOUR_MATCHES: tuple[Translator, ...] = ("histogram", "mean-std")


class CycleGanOptions(BaseModel):
    """Networks and weights of CycleGAN with BDL's perceptual terms; the defaults are the published ones.

    Attributes:
        width, blocks: of the generators (64 and 9).
        discriminator_width: 64.
        discriminator_norm: instance norm in the discriminators (true). Without it they see at once how bright and
            coloured a picture is as a whole; not published, for small budgets.
        upsampling: of the generators: ``transposed`` convolutions as published, or ``resized``, without checkerboards.
        residual: generators learn a change of the picture; not published, for small budgets.
        colour_match: they learn a change of the colour-matched picture (mean and deviation of each channel over the
            sets) and so begin as the colour match; needs ``residual``; not published either.
        colour_weight: of the distance between mean and deviation of each channel of a translated picture and of the
            colour-matched one (0: no such term); needs ``colour_match``. A discriminator of patches hardly sees them.
        cycle_weight: lambda_A = lambda_B, of the L1 distance after a round trip (10).
        identity_weight: of the L1 distance between a picture and what the generator *into* its own look makes of it,
            as a share of ``cycle_weight`` (0.5).
        perceptual_weight: lambda_semantic, of the perceptual distance after a round trip, as a share of
            ``cycle_weight`` (1); needs a ``perceptual`` network.
        perceptual_translation_weight: of the perceptual distance between a picture and its translation (0.1).
        pool_size: translated pictures remembered per discriminator (50).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: PositiveInt = 64
    blocks: PositiveInt = 9
    discriminator_width: PositiveInt = 64
    discriminator_norm: bool = True
    upsampling: Upsampling = "transposed"
    residual: bool = False
    colour_match: bool = False
    colour_weight: NonNegativeFloat = 0.0
    cycle_weight: NonNegativeFloat = 10.0
    identity_weight: NonNegativeFloat = 0.5
    perceptual_weight: NonNegativeFloat = 1.0
    perceptual_translation_weight: NonNegativeFloat = 0.1
    pool_size: NonNegativeInt = 50

    @model_validator(mode="after")
    def _a_colour_match_is_changed(self) -> Self:
        if self.colour_match and not self.residual:
            raise ValueError("colour_match needs residual: true, for it is a change of the match that is learnt")
        if self.colour_weight > 0 and not self.colour_match:
            raise ValueError("colour_weight needs colour_match: true: colours are held where the match puts them")
        return self


class TranslationTraining(BaseModel):
    """How long and on what kind of picture a translator trains.

    Attributes:
        steps: optimiser steps.
        schedule: of the learning rates; the published one falls linearly to zero over the second half.
        clip_gradients: the largest norm of all gradients of an optimiser together; None: as they are.
        batch_size: images of either set per step, over all processes.
        learning_rate: of Adam for generators and discriminators, betas (0.5, 0.999).
        discriminator_learning_rate: None: the same.
        precision: ``32-true``, or ``bf16-mixed`` where the processor has bfloat16.
        channels_last: memory format.
        source_transform, target_transform: what happens to images on their way in. Published: 1024 wide, crop 452.
        cache: keep a resized copy of the images beside the finished stages.
        workers: loader processes per set.
        checkpoint_minutes: how often the state is saved.
        log_every: steps between rows of the history.
        tracker: who else is shown the rows: ``wandb`` or ``mlflow``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveInt = 120_000
    schedule: Schedule = Schedule(kind="linear", hold=0.5)
    clip_gradients: PositiveFloat | None = None
    batch_size: PositiveInt = 1
    learning_rate: PositiveFloat = 2e-4
    discriminator_learning_rate: PositiveFloat | None = None
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    channels_last: bool = False
    source_transform: Transform = Transform()
    target_transform: Transform = Transform()
    cache: bool = speed_only(False)
    workers: NonNegativeInt = speed_only(0)
    checkpoint_minutes: float = speed_only(5.0, ge=0.0)
    log_every: PositiveInt = speed_only(20)
    tracker: TrackerName | None = speed_only(None)

    @property
    def accumulate(self) -> int:
        """A translator's batch is gone through as a whole."""
        return 1

    def learning_rate_factor(self, step: int) -> float:
        """What every starting learning rate is multiplied by at ``step``."""
        return self.schedule.factor(step, steps=self.steps)


class Writing(BaseModel):
    """How a whole set is translated once the translator is there.

    Attributes:
        size: (width, height) that images are translated at; the result is enlarged to the native size. None: native.
        tile: side of the square tiles large images are cut into; None: the image as a whole. Tiles have their own
            instance statistics, so colours may differ a little between them: whole images are
            better where memory allows.
        overlap: pixels that neighbouring tiles share and blend over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[PositiveInt, PositiveInt] | None = None
    tile: int | None = Field(default=None, ge=64)
    overlap: int = Field(default=32, ge=0)
