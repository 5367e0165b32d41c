"""Networks, discriminators and checkpoints of networks."""

from acclimate.models.checkpoint import ModelCard, expect_classes, load_network, read_card, save_network
from acclimate.models.config import NetworkConfig, NetworkOptions
from acclimate.models.discriminator import FineGrainedDiscriminator, OutputDiscriminator
from acclimate.models.network import Level, Output, ParameterGroup, Region, SegmentationNetwork, evaluation_mode
from acclimate.models.registry import NETWORKS, build_network
from acclimate.models.resize import upsample
from acclimate.models.wrapped import wrap_network

__all__ = [
    "NETWORKS",
    "FineGrainedDiscriminator",
    "Level",
    "ModelCard",
    "NetworkConfig",
    "NetworkOptions",
    "Output",
    "OutputDiscriminator",
    "ParameterGroup",
    "Region",
    "SegmentationNetwork",
    "build_network",
    "evaluation_mode",
    "expect_classes",
    "load_network",
    "read_card",
    "save_network",
    "upsample",
    "wrap_network",
]
