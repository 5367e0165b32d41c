"""A trained model in Python: from a checkpoint, or the folder of a run, to predictions of frames and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.files import read_image
from acclimate.errors import UserError
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.predict import predict
from acclimate.evaluation.scores import ORACLE
from acclimate.io.environment import default_device
from acclimate.models.checkpoint import ModelCard, load_network, read_card_content
from acclimate.models.network import SegmentationNetwork

Picture: TypeAlias = NDArray[np.uint8] | str | Path
"""An RGB frame, (H, W, 3) uint8, or the path of an image."""
Pictures: TypeAlias = list[Picture] | tuple[Picture, ...]

_FILE = "model.safetensors"
_STAGE = re.compile(r"(\d+)-.+")
_SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says of one image, at the image's size.

    Attributes:
        labels: (H, W) uint8 class numbers.
        entropy: (H, W) float32, how unsure it is: normalised by ln C to [0, 1].
        space: the classes' names and colours, by number.
    """

    labels: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    space: ClassSpace

    def coloured(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB: every pixel in its class's colour."""
        colours: NDArray[np.uint8] = self.space.palette()[self.labels]
        return colours


@dataclass(frozen=True)
class Model:
    """A network that predicts.

    Attributes:
        network: on ``device``.
        card: what its checkpoint tells about it.
        device: where it predicts.
        path: the checkpoint; None for a network that was made in Python.
    """

    network: SegmentationNetwork
    card: ModelCard
    device: str = "cpu"
    path: Path | None = None

    @property
    def space(self) -> ClassSpace:
        """Its classes."""
        return self.card.space()

    @overload
    def predict(self, images: Picture, *, inference: Inference = ONCE) -> ImagePrediction: ...

    @overload
    def predict(self, images: Pictures, *, inference: Inference = ONCE) -> list[ImagePrediction]: ...

    def predict(
        self, images: Picture | Pictures, *, inference: Inference = ONCE
    ) -> ImagePrediction | list[ImagePrediction]:
        """Class and entropy of every pixel, for one image or for each of a list, of any sizes.

        Args:
            images: an RGB frame (H, W, 3) uint8 as NumPy array, the path of an image, or a list of either.
            inference: how the network is asked; the images' size unless given is the one it was trained at.

        Raises:
            UserError: an array is no RGB frame, or a file cannot be read.
        """
        if isinstance(images, (np.ndarray, str, Path)):
            return self._predicted(images, inference.over(Inference(size=self.card.input_size)))
        return [self.predict(image, inference=inference) for image in images]

    def _predicted(self, image: Picture, inference: Inference) -> ImagePrediction:
        frame = _checked(image) if isinstance(image, np.ndarray) else read_image(Path(image))
        size = (frame.shape[0], frame.shape[1])
        found = predict([self.network], inference.prepared(frame).to(self.device), size=size, inference=inference)
        return ImagePrediction(found.labels[0].cpu().numpy(), found.entropy[0].cpu().numpy(), self.space)


def load(path: str | Path, *, device: str | None = None, network: SegmentationNetwork | str | None = None) -> Model:
    """The model of a checkpoint, or of a run.

    Args:
        path: ``model.safetensors``, or a folder, see :func:`checkpoint_in`.
        device: where it predicts; None: a GPU where there is one.
        network: for a network of one's own, as :func:`load_network` takes it.

    Raises:
        UserError: there is no model, or it cannot be read.
    """
    device = device or default_device()
    file = checkpoint_in(Path(path))
    loaded, card = load_network(file, device=device, network=network)
    return Model(loaded, card, device, file)


def checkpoint_in(path: Path) -> Path:
    """The checkpoint that a path stands for: a file is its own, a folder holds one or is that of a run.

    Of a run it is that of the last stage, by the recipe's order, which leaves a model, oracles aside unless there is
    nothing else; of several seeds the first.

    Raises:
        UserError: a folder without any model.
    """
    if not path.is_dir():
        return path
    if (path / _FILE).is_file():
        return path / _FILE
    places = sorted((int(match[1]), each) for each in path.iterdir() if (match := _SEED.fullmatch(each.name)))
    models = _models(places[0][1] if places else path)
    if not models:
        raise UserError(
            f"{path} holds no {_FILE}, neither itself nor in a stage's folder; give a checkpoint, or the folder of a "
            "run whose first training is finished"
        )
    adapted = [file for file in models if read_card_content(file).get("method") != ORACLE]
    return (adapted or models)[-1]


def _models(run: Path) -> list[Path]:
    """The models of a run's stages, in the recipe's order."""
    stages = sorted((int(match[1]), each) for each in run.iterdir() if (match := _STAGE.fullmatch(each.name)))
    return [folder / _FILE for _, folder in stages if (folder / _FILE).is_file()]


def _checked(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The frame, which must be RGB of 8 bits."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        remedy = "convert it to RGB from 0 to 255"
        if frame.ndim == 4:
            remedy = "give several frames as a list"
        found = f"{frame.shape} of {frame.dtype}"
        raise UserError(f"a frame is an array (height, width, 3) of uint8, this one is {found}; {remedy}")
    return frame.astype(np.uint8, copy=False)
