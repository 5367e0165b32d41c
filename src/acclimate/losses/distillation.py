"""What it costs a student to say something else than its teacher (ProDA's second and third stage)."""

from __future__ import annotations

import torch
from torch import Tensor

from acclimate.precision import full_precision


def distillation_loss(teacher: Tensor, student: Tensor, *, logarithm: bool = True) -> Tensor:
    """KL(p_teacher || p_student), the mean over places *and* classes: a C-th of the divergence of a place.

    Args:
        teacher, student: logits (B, C, h, w); the teacher's get no gradient.
        logarithm: false: ProDA's code, which hands its divergence the student's probabilities where their logarithms
            belong: t (log t - p) instead of t (log t - log p).

    Returns:
        A scalar; float32, or float64 for logits in float64.
    """
    wanted = full_precision(teacher).detach().softmax(dim=1)
    said = full_precision(student)
    said = said.log_softmax(dim=1) if logarithm else said.softmax(dim=1)
    return (torch.xlogy(wanted, wanted) - wanted * said).mean()
