"""A trained model in Python: from a checkpoint, or the folder of a run, to predictions of frames and files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.files import read_image
from acclimate.errors import UserError
from acclimate.evaluation.inference import ONCE, Inference
from acclimate.evaluation.predict import predict, predict_labels
from acclimate.evaluation.scores import ORACLE
from acclimate.io.environment import device_named
from acclimate.models.checkpoint import ModelCard, load_network, read_card_content
from acclimate.models.network import SegmentationNetwork, laid_out_to_predict

Picture: TypeAlias = NDArray[np.uint8] | str | Path
"""An RGB frame, (H, W, 3) uint8, or the path of an image."""
Pictures: TypeAlias = list[Picture] | tuple[Picture, ...]

_FILE = "model.safetensors"
_STAGE = re.compile(r"(\d+)-.+")
_SEED = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class LabelledImage:
    """The classes that a model sees in an image, at the image's size.

    Attributes:
        image: (H, W, 3) uint8 RGB, what it was asked about.
        labels: (H, W) uint8 class numbers.
        space: the classes' names and colours, by number.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    space: ClassSpace

    def coloured(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB: every pixel in its class's colour."""
        colours: NDArray[np.uint8] = self.space.palette()[self.labels]
        return colours

    def overlay(self, *, opacity: float = 0.55) -> NDArray[np.uint8]:
        """(H, W, 3) RGB: the classes' colours over the image, from 0, only the image, to 1, only colours."""
        share = np.uint16(round(256 * opacity))
        mixed = self.image * (np.uint16(256) - share) + self.coloured() * share
        shown: NDArray[np.uint8] = ((mixed + np.uint16(128)) >> np.uint16(8)).astype(np.uint8)
        return shown


@dataclass(frozen=True)
class ImagePrediction(LabelledImage):
    """What a model says of one image, and how sure it is, at the image's size.

    Attributes:
        entropy: (H, W) float32, how unsure it is: normalised by ln C to [0, 1].
        confidence: (H, W) float32, the probability of the class it names, in [0, 1].
    """

    entropy: NDArray[np.float32]
    confidence: NDArray[np.float32]


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
    def predict(self, images: Picture, *, inference: Inference = ONCE, batch: int = 1) -> ImagePrediction: ...

    @overload
    def predict(self, images: Pictures, *, inference: Inference = ONCE, batch: int = 1) -> list[ImagePrediction]: ...

    def predict(
        self, images: Picture | Pictures, *, inference: Inference = ONCE, batch: int = 1
    ) -> ImagePrediction | list[ImagePrediction]:
        """Class and unsureness of every pixel, for one image or for each of a list, of any sizes.

        Args:
            images: an RGB frame (H, W, 3) uint8 as NumPy array, the path of an image, or a list of either.
            inference: how the network is asked; the images' size unless given is the one it was trained at.
            batch: images of one size that the network sees at once; larger ones may round differently.

        Raises:
            UserError: an array is no RGB frame, or a file cannot be read.
        """
        if isinstance(images, (np.ndarray, str, Path)):
            return next(self.stream([images], inference=inference))
        return list(self.stream(images, inference=inference, batch=batch))

    def stream(
        self, images: Iterable[Picture], *, inference: Inference = ONCE, batch: int = 1
    ) -> Iterator[ImagePrediction]:
        """:meth:`predict` for images that come one after the other, such as a video's; none is kept."""
        asked = self._asked(inference)
        for frames in _alike(images, batch):
            found = predict([self.network], self._seen(frames, asked), size=_size(frames), inference=asked)
            maps = (each.cpu().numpy() for each in (found.labels, found.entropy, found.confidence))
            for frame, labels, entropy, confidence in zip(frames, *maps, strict=True):
                yield ImagePrediction(frame, labels, self.space, entropy, confidence)

    def stream_labels(
        self, images: Iterable[Picture], *, inference: Inference = ONCE, batch: int = 1
    ) -> Iterator[LabelledImage]:
        """:meth:`stream` without how sure the network is, which is about twice as fast on large images."""
        asked = self._asked(inference)
        for frames in _alike(images, batch):
            found = predict_labels([self.network], self._seen(frames, asked), size=_size(frames), inference=asked)
            for frame, labels in zip(frames, found.cpu().numpy(), strict=True):
                yield LabelledImage(frame, labels, self.space)

    def _asked(self, inference: Inference) -> Inference:
        return inference.over(Inference(size=self.card.input_size))

    def _seen(self, frames: Sequence[NDArray[np.uint8]], inference: Inference) -> Tensor:
        return torch.cat([inference.prepared(frame) for frame in frames]).to(self.device)


def _alike(images: Iterable[Picture], most: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Images that follow each other and have one size, at most so many at a time."""
    frames: list[NDArray[np.uint8]] = []
    for image in images:
        frame = _checked(image) if isinstance(image, np.ndarray) else read_image(Path(image))
        if frames and frame.shape != frames[0].shape:
            yield frames
            frames = []
        frames.append(frame)
        if len(frames) >= most:
            yield frames
            frames = []
    if frames:
        yield frames


def _size(frames: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
    return frames[0].shape[0], frames[0].shape[1]


def load(path: str | Path, *, device: str | None = None, network: SegmentationNetwork | str | None = None) -> Model:
    """The model of a checkpoint, or of a run.

    Args:
        path: ``model.safetensors``, or a folder, see :func:`checkpoint_in`.
        device: where it predicts; None: a GPU where there is one.
        network: for a network of one's own, as :func:`load_network` takes it.

    Raises:
        UserError: there is no model, or it cannot be read.
    """
    device = device_named(device)
    file = checkpoint_in(Path(path))
    loaded, card = load_network(file, device=device, network=network)
    return Model(laid_out_to_predict(loaded), card, device, file)


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
