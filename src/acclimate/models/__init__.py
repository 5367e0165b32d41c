"""Networks, discriminators and checkpoints of networks."""

from acclimate.models.checkpoint import ModelCard, expect_classes, load_network, read_card, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.discriminator import FineGrainedDiscriminator, OutputDiscriminator
from acclimate.models.network import Output, ParameterGroup, SegmentationNetwork
from acclimate.models.registry import NETWORKS, build_network
from acclimate.models.resize import upsample

__all__ = [
    "NETWORKS",
    "FineGrainedDiscriminator",
    "ModelCard",
    "NetworkConfig",
    "Output",
    "OutputDiscriminator",
    "ParameterGroup",
    "SegmentationNetwork",
    "build_network",
    "expect_classes",
    "load_network",
    "read_card",
    "save_network",
    "upsample",
]
