"""Findings while a model trains, from the rows of its history and the classes it predicts on its batches."""

from __future__ import annotations

from collections.abc import Sequence

from acclimate.doctor.findings import Finding, listed

LONG = 10
"""Rows of the history in a row that make a sign worth a warning."""
NEAR_ZERO = 0.01
"""A discriminator's loss below this means that it tells the domains apart without error."""
NEAR_CHANCE, STILL = 0.005, 0.003
"""A discriminator's loss this near to chance that moves less than this has learnt nothing; a working one wavers."""
FEW = 0.01
"""A teacher that keeps a smaller share of the pixels than this, or all but this, teaches little."""
NOTEWORTHY = 0.001
"""The share of predicted pixels that a class must once have had for its vanishing to be a change."""
RISEN = 2.0
"""A loss this many times its best stretch has come back up."""
SWALLOWED = 0.95
"""The share of a batch's pixels that one class has when it swallows the others."""


def discriminator_finding(name: str, values: Sequence[float], *, chance: float, step: int) -> Finding | None:
    """Whether a discriminator has won, or learns nothing.

    Args:
        name: of its loss.
        values: the last :data:`LONG` of that loss.
        chance: its value for a discriminator that guesses.
        step: of the last one.
    """
    if len(values) < LONG:
        return None
    if all(value < NEAR_ZERO for value in values):
        return Finding(
            kind="discriminator won",
            severity="warning",
            words=f"the loss '{name}' has stayed below {NEAR_ZERO} up to step {step}: the discriminator has won and "
            "teaches the network little",
            advice="lower discriminator_learning_rate or raise the adversarial weight",
            about=name,
            step=step,
        )
    if all(abs(value - chance) < NEAR_CHANCE for value in values) and max(values) - min(values) < STILL:
        return Finding(
            kind="discriminator gave up",
            severity="warning",
            words=f"the loss '{name}' has stayed at chance ({chance:.3f}) up to step {step}: the discriminator tells "
            "nothing apart",
            advice="raise discriminator_learning_rate or lower the adversarial weight",
            about=name,
            step=step,
        )
    return None


def kept_share_finding(name: str, values: Sequence[float], *, step: int) -> Finding | None:
    """Whether a teacher is sure of next to nothing, or of everything.

    Args:
        name: of the share in the history.
        values: the last :data:`LONG` shares, fractions.
        step: of the last one.
    """
    if len(values) < LONG:
        return None
    if all(value < FEW for value in values):
        return Finding(
            kind="nothing kept",
            severity="warning",
            words=f"the {name} has stayed below {100 * FEW:.0f} % up to step {step}: the teacher is sure of next to "
            "nothing, so the target teaches nothing",
            advice="lower the confidence threshold or train the source model longer",
            about=name,
            step=step,
        )
    if all(value > 1 - FEW for value in values):
        return Finding(
            kind="everything kept",
            severity="warning",
            words=f"the {name} has stayed above {100 * (1 - FEW):.0f} % up to step {step}: the teacher is sure of "
            "everything, right or wrong",
            advice="raise the confidence threshold, and look at its predictions",
            about=name,
            step=step,
        )
    return None


def risen_loss_finding(name: str, values: Sequence[float], *, step: int) -> Finding | None:
    """Whether a supervised loss has come back up: its last tenth is at twice its best tenth or more.

    Args:
        name: of the loss.
        values: all so far; fewer than 3 * :data:`LONG` say nothing.
        step: of the last one.
    """
    if len(values) < 3 * LONG:
        return None
    length = max(LONG, len(values) // 10)
    means = [
        sum(values[start : start + length]) / length
        for start in range(len(values) % length, len(values) - length + 1, length)
    ]
    best, last = min(means), means[-1]
    if last < RISEN * best or last < 0.5 * means[0]:
        return None
    return Finding(
        kind="loss rose",
        severity="warning",
        words=f"the loss '{name}' has come back up to {last:.2f} at step {step}, after {best:.2f} at its best",
        advice="lower training.optimizer.learning_rate, or the weights of the adapting losses; clip_gradients: 1 keeps "
        "single steps from doing harm",
        about=name,
        step=step,
    )


def vanished_classes_finding(
    before: Sequence[float], recent: Sequence[float], names: Sequence[str], *, step: int
) -> Finding | None:
    """Whether classes were predicted for a while and are no more.

    Args:
        before: (C,) a share that each class reached in :data:`LONG` earlier rows, or more; what an untrained network
            says in its first few does not count.
        recent: (C,) the largest share over the last :data:`LONG` rows.
        names: (C,) of the classes.
        step: of the last row.
    """
    gone = [index for index in range(len(names)) if before[index] > NOTEWORTHY and recent[index] == 0]
    if not gone:
        return None
    shares = listed([f"{names[index]} ({100 * before[index]:.1f} % of the pixels)" for index in gone])
    return Finding(
        kind="class vanished",
        severity="warning",
        words=f"{shares} {'was' if len(gone) == 1 else 'were'} predicted earlier in this training, and not at all in "
        f"the last {LONG} rows of the history up to step {step}",
        advice="lower the weights of the adapting losses, or look whether the source shows the class",
        about=", ".join(names[index] for index in gone),
        step=step,
    )


def swallowing_finding(least: Sequence[float], names: Sequence[str], *, step: int) -> Finding | None:
    """Whether one class is nearly all the network predicts.

    Args:
        least: (C,) the smallest share of each class over the last :data:`LONG` rows.
        names: (C,) of the classes.
        step: of the last row.
    """
    index = max(range(len(least)), key=lambda k: least[k])
    if least[index] < SWALLOWED:
        return None
    return Finding(
        kind="one class in training",
        severity="alarm",
        words=f"{names[index]} has been at least {100 * least[index]:.0f} % of all that is predicted in the last "
        f"{LONG} rows of the history up to step {step}",
        advice="stop here: lower the learning rate and the weights of the adapting losses, and look whether the labels "
        "belong to the pictures",
        step=step,
    )
