"""Losses: pure functions of tensors. They know nothing of networks, methods or files."""

from acclimate.losses.adversarial import Domain, domain_loss, prediction_discrepancy
from acclimate.losses.class_prior import class_balance_loss, class_ratio_prior
from acclimate.losses.entropy import entropy_loss, entropy_map, robust_entropy_loss, weighted_self_information
from acclimate.losses.fine_grained import class_domain_loss, class_encoding
from acclimate.losses.max_square import max_square_loss
from acclimate.losses.segmentation import cross_entropy, focal_loss

__all__ = [
    "Domain",
    "class_balance_loss",
    "class_domain_loss",
    "class_encoding",
    "class_ratio_prior",
    "cross_entropy",
    "domain_loss",
    "entropy_loss",
    "entropy_map",
    "focal_loss",
    "max_square_loss",
    "prediction_discrepancy",
    "robust_entropy_loss",
    "weighted_self_information",
]
