"""The built-in scenes as a dataset: every picture is made on demand from integers, nothing is read or downloaded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Dataset, Image, Label
from acclimate.errors import UserError, unknown
from acclimate.io.files import hash_of
from acclimate.labels import VOID
from acclimate.scenes.camera import Floats
from acclimate.scenes.classes import CLASSES, COLOURS
from acclimate.scenes.looks import LOOKS, Rendering, look_named, render_scene
from acclimate.scenes.render import Box
from acclimate.scenes.world import sample_scene

SCENES_14 = ClassSpace(
    name="scenes",
    classes=CLASSES,
    colours=COLOURS,
    mappings={"scenes": {i: i for i in range(len(CLASSES))}},
)
"""The 14 classes; raw ids and train ids are the same. Buses, vans and trucks are cars; motorcycles are bicycles."""

GENERATOR_VERSION = 1
"""Raised whenever the same integers would give other pixels."""
TRAIN_IMAGES = 400
VAL_IMAGES = 100
MOST_IMAGES = 1_000_000
"""Scenes set aside for each split of each look: no two share one."""
KEPT_BYTES = 256 * 2**20
"""How much memory a set may use to keep pictures it has made."""
SPLITS = {"train": TRAIN_IMAGES, "val": VAL_IMAGES}


class ScenesDataset(Dataset):
    """Street scenes in one look, ``scenes:LOOK``.

    Args:
        look: a name in ``LOOKS``: render, camera, dusk, fog or rain.
        split: train or val.
        class_space: what labels are mapped into; it must know the kind ``scenes`` (raw ids are places in ``CLASSES``).
        size: width and height in pixels.
        images: how many; the first ones of the split when there are fewer than by default.
        seed: another seed gives other scenes.

    Raises:
        UserError: unknown look or split, or an argument that is out of range.
    """

    has_labels = True

    def __init__(
        self,
        look: str,
        *,
        split: str,
        class_space: ClassSpace | None = None,
        size: tuple[int, int] = (256, 128),
        images: int | None = None,
        seed: int = 0,
    ) -> None:
        look_named(look)
        if split not in SPLITS:
            raise unknown(f"split of scenes:{look}", split, SPLITS)
        count = SPLITS[split] if images is None else images
        if not 0 < count <= MOST_IMAGES:
            raise UserError(f"scenes:{look}: images is {count}; give a number from 1 to {MOST_IMAGES}")
        if min(size) < 16:
            raise UserError(f"scenes:{look}: size is {size[0]}x{size[1]}; give at least 16x16 pixels")
        if seed < 0:
            raise UserError(f"scenes:{look}: seed is {seed}; give 0 or more")
        space = SCENES_14 if class_space is None else class_space
        if "scenes" not in space.mappings:
            raise UserError(
                f"class space {space.name!r} has no mapping for the built-in scenes; "
                f"use {SCENES_14.name!r}, or add mappings.scenes with the ids 0 to {len(CLASSES) - 1}"
            )
        self.look, self.split, self.class_space = look, split, space
        self.size, self.seed = size, seed
        self.spec = f"scenes:{look}"
        self.names = [f"{look}-{split}-{i:04d}" for i in range(count)]
        self._table = _label_table(space)
        self._pictures: dict[int, tuple[Image, Label]] = {}
        self._rendering = lru_cache(maxsize=4)(self._render)

    def scene_index(self, index: int) -> int:
        """The scene behind the ``index``-th picture; the stretches of looks and splits do not overlap."""
        stretch = LOOKS.index(self.look) * len(SPLITS) + list(SPLITS).index(self.split)
        return stretch * MOST_IMAGES + index

    def _render(self, index: int) -> Rendering:
        return render_scene(sample_scene(self.seed, self.scene_index(index)), self.look, size=self.size)

    def rendering(self, index: int) -> Rendering:
        """Everything about the ``index``-th picture; the last few are kept. Do not change its arrays.

        Raises:
            IndexError: there is no such picture.
        """
        return self._rendering(range(len(self))[index])

    def image(self, index: int) -> Image:
        """The RGB picture, shape (H, W, 3), 0-255."""
        image: Image = self._picture(index)[0].copy()
        return image

    def label(self, index: int) -> Label:
        """Train ids of the class space, shape (H, W), void 255."""
        label: Label = self._table[self._picture(index)[1]]
        return label

    def _picture(self, index: int) -> tuple[Image, Label]:
        """Image and raw label. As many as fit are kept: a rendering takes longer than anything else done with it."""
        index = range(len(self))[index]
        if index not in self._pictures:
            rendering = self.rendering(index)
            picture = (rendering.image, rendering.label)
            if (len(self._pictures) + 1) * 4 * self.size[0] * self.size[1] > KEPT_BYTES:
                return picture
            self._pictures[index] = picture
        return self._pictures[index]

    def depth(self, index: int) -> Floats:
        """Metres along the optical axis, shape (H, W), float32; sky is ``render.SKY_DEPTH`` (1000)."""
        depth: Floats = self.rendering(index).depth.copy()
        return depth

    def boxes(self, index: int) -> list[Box]:
        """A tight box per visible person, rider, car and bicycle: (name, x0, y0, x1, y1), x1 and y1 exclusive."""
        return list(self.rendering(index).boxes)

    def fingerprint(self) -> str:
        """A hash of everything the pictures and labels depend on."""
        space = self.class_space
        return hash_of(
            {
                "generator": GENERATOR_VERSION,
                "look": self.look,
                "split": self.split,
                "size": list(self.size),
                "images": len(self),
                "seed": self.seed,
                "classes": list(space.classes),
                "mapping": sorted(space.mappings["scenes"].items()),
            }
        )

    def __getstate__(self) -> dict[str, object]:
        """The cache stays behind when the dataset is sent to another process."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_rendering", "_pictures")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._pictures = {}
        self._rendering = lru_cache(maxsize=4)(self._render)


def _label_table(space: ClassSpace) -> Label:
    """Raw id -> train id for the 14 classes, shape (14,).

    Raises:
        UserError: the mapping leaves a class out.
    """
    mapping = space.mappings["scenes"]
    missing = [name for i, name in enumerate(CLASSES) if i not in mapping]
    if missing:
        raise UserError(
            f"class space {space.name!r}: mappings.scenes says nothing about {', '.join(missing)}; "
            f"map each of the ids 0 to {len(CLASSES) - 1} to a train id, or to {VOID} for void"
        )
    return np.array([mapping[i] for i in range(len(CLASSES))], dtype=np.uint8)
