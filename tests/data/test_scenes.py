"""The built-in scenes: determinism, geometry, occlusion, objects, fog, and which scenes belong to which split."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from acclimate.data.class_space import ClassSpace
from acclimate.data.readers.scenes import SCENES_14, TRAIN_IMAGES, VAL_IMAGES, ScenesDataset
from acclimate.errors import UserError
from acclimate.scenes import LOOKS, Scene, render_scene, sample_scene
from acclimate.scenes.camera import Camera
from acclimate.scenes.classes import BUILDING, CAR, PERSON, ROAD, SIDEWALK, SKY
from acclimate.scenes.looks import fogged
from acclimate.scenes.render import SKY_DEPTH, view
from acclimate.scenes.shapes import Board, Material, Piece, Surface, box
from acclimate.scenes.street import Street, painting_order

LEVEL = Camera(height=1.5, pitch=0.0, yaw=0.0, focal=1.0, lateral=0.0)


def board(x: float, z: float, half: float, label: int, thing: int = 0) -> Piece:
    """A square of side 2 half on the ground, turned to the camera."""
    flat = Board(x, z).at(box(-half, 0.0, half, 2 * half))
    return Piece(z, x, [Surface(flat, Material.FACADE, (0.5, 0.5, 0.5), label, thing)])


def scene_of(*pieces: Piece, camera: Camera = LEVEL, things: tuple[int, ...] = ()) -> Scene:
    street = Street(half=4.0, sidewalk=2.0, end=1000.0)
    return Scene(0, 0, camera, street, painting_order(pieces, eye_x=camera.lateral), things)


@pytest.mark.parametrize("look", LOOKS)
def test_the_same_integers_give_the_same_picture(look: str) -> None:
    first, again = (ScenesDataset(look, split="val", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.image(5), again.image(5))
    np.testing.assert_array_equal(first.label(5), again.label(5))
    assert (first.label(5) != first.label(6)).mean() > 0.05
    assert (first.label(5) != ScenesDataset(look, split="val", seed=4).label(5)).mean() > 0.05


def test_order_of_access_does_not_matter() -> None:
    forwards, backwards = (ScenesDataset("camera", split="train", images=3) for _ in range(2))
    ahead = [forwards.image(i) for i in range(3)]
    back = [backwards.image(i) for i in (2, 1, 0)][::-1]
    np.testing.assert_array_equal(ahead, back)


def test_a_look_changes_pixels_but_not_labels_depth_or_objects() -> None:
    scene = sample_scene(0, 8)
    renderings = {look: render_scene(scene, look) for look in LOOKS}
    clean = renderings["render"]
    for look, rendering in renderings.items():
        np.testing.assert_array_equal(rendering.label, clean.label)
        np.testing.assert_array_equal(rendering.depth, clean.depth)
        np.testing.assert_array_equal(rendering.instances, clean.instances)
        assert rendering.boxes == clean.boxes
        if look != "render":
            assert np.abs(rendering.image.astype(int) - clean.image).mean() > 10


def test_every_class_is_seen_in_the_default_training_set() -> None:
    sources = ScenesDataset("render", split="train")
    pixels = np.zeros(14, dtype=np.int64)
    images = np.zeros(14, dtype=np.int64)
    for i in range(0, len(sources), 8):
        label = sources.label(i)
        assert label.max() < 14
        counts = np.bincount(label.ravel(), minlength=14)
        pixels += counts
        images += counts > 0
    assert (pixels / pixels.sum() > 0.002).all(), dict(zip(SCENES_14.classes, pixels / pixels.sum(), strict=True))
    assert (images >= 5).all()


def test_depth_of_the_ground_is_that_of_a_plane() -> None:
    # row 100 of 128: (64 - 100.5) / 256 below the axis, so a camera 1.5 m up sees 1.5 * 256 / 36.5 m
    depth = view(scene_of()).depth
    assert depth[100, 17] == pytest.approx(1.5 * 256 / 36.5, rel=1e-4)
    # looking 0.05 down: depth = h / (sin p - y cos p) with y = -36.5 / 256
    tilted = view(scene_of(camera=replace(LEVEL, pitch=0.05))).depth
    assert tilted[100, 17] == pytest.approx(1.5 / (math.sin(0.05) + 36.5 / 256 * math.cos(0.05)), rel=1e-4)
    ground = depth[64:, 40]
    assert (np.diff(ground) < 0).all()
    assert (depth[:64] == SKY_DEPTH).all()


def test_ground_classes_lie_where_the_street_plan_says() -> None:
    # at row 100 a pixel is 1.5 / 36.5 m wide: the road reaches 4 m aside, the sidewalk begins there
    label = view(scene_of()).label
    metres = (np.arange(256) + 0.5 - 128) * 1.5 / 36.5
    assert (label[100][np.abs(metres) < 3.95] == ROAD).all()
    assert (label[100][np.abs(metres) > 4.05] == SIDEWALK).all()
    assert (label[:64] == SKY).all()


def test_a_standing_square_is_projected_to_where_a_pinhole_puts_it() -> None:
    # 1 m half width at 8 m: 32 pixels to each side; its foot 1.5 m and its head -0.5 m below the axis
    buffers = view(scene_of(board(0.0, 8.0, 1.0, CAR, 1), things=(CAR,)))
    name, x0, y0, x1, y1 = buffers.boxes((CAR,))[0]
    assert name == "car"
    np.testing.assert_allclose((x0, y0, x1, y1), (96, 48, 160, 112), atol=1)
    np.testing.assert_allclose(buffers.depth[buffers.instance == 1], 8.0, rtol=1e-4)


def test_depth_of_a_wall_beside_the_street_is_where_each_ray_meets_it() -> None:
    points = [(3.0, 0.0, 2.0), (3.0, 0.0, 40.0), (3.0, 6.0, 40.0), (3.0, 6.0, 2.0)]
    wall = Piece(2.0, 3.0, [Surface(points, Material.FACADE, (0.5, 0.5, 0.5), BUILDING, 0, True)])
    depth = view(scene_of(wall)).depth
    for column in (160, 200, 250):
        assert depth[60, column] == pytest.approx(3.0 * 256 / (column + 0.5 - 128), rel=1e-3)


@pytest.mark.parametrize("nearer_first", [True, False])
def test_what_is_nearer_hides_what_is_behind(nearer_first: bool) -> None:
    pieces = [board(0.0, 8.0, 0.5, PERSON, 1), board(0.2, 20.0, 3.0, CAR, 2)]
    buffers = view(scene_of(*(pieces if nearer_first else pieces[::-1]), things=(PERSON, CAR)))
    # the person covers columns 112-144 and rows from 80 (1 m tall, 0.5 m below the axis) to 112
    assert (buffers.label[84:110, 115:141] == PERSON).all()
    assert (buffers.instance[84:110, 115:141] == 1).all()
    assert buffers.label[70, 128] == CAR


def test_what_stands_across_a_wall_is_hidden_by_it() -> None:
    points = [(3.0, 0.0, 6.0), (3.0, 0.0, 11.9), (3.0, 6.0, 11.9), (3.0, 6.0, 6.0)]
    wall = Piece(6.0, 3.0, [Surface(points, Material.FACADE, (0.5, 0.5, 0.5), BUILDING, 0, True)])
    # both beyond the wall and in front of it, in the same stretch of street, seen along the same ray
    behind, before = board(4.5, 11.0, 0.3, CAR, 1), board(2.5, 7.5, 0.3, PERSON, 2)
    buffers = view(scene_of(behind, wall, before, things=(CAR, PERSON)))
    assert not (buffers.label == CAR).any()
    assert (buffers.label == PERSON).sum() > 100


def z_buffered(scene: Scene, width: int, height: int) -> np.ndarray:
    """Labels by another way: every pixel's ray meets every polygon's plane, and the nearest hit inside wins."""
    eye = scene.camera.position().astype(float)
    rays = (scene.camera.rays(width=width, height=height) @ scene.camera.axes()).reshape(-1, 3).astype(float)
    nearest = np.full(len(rays), np.inf)
    label = np.full(len(rays), 255)
    for surface in scene.surfaces:
        corners = np.array(surface.points)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        facing = rays @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = normal @ (corners[0] - eye) / facing
            hits = eye + rays * depth[:, None]
            axis = int(np.abs(normal).argmax())
            flat, polygon = np.delete(hits, axis, axis=1), np.delete(corners, axis, axis=1)
            inside = np.zeros(len(rays), dtype=bool)
            for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                spans = (y0 > flat[:, 1]) != (y1 > flat[:, 1])
                inside ^= spans & (flat[:, 0] < x0 + (flat[:, 1] - y0) * (x1 - x0) / (y1 - y0))
        # what lies in one plane is painted in order: later wins unless it is clearly farther
        wins = inside & (depth > 0.25) & (depth < nearest + 0.05)
        nearest[wins] = depth[wins]
        label[wins] = surface.label
    return label.reshape(height, width)


def test_painting_order_agrees_with_a_z_buffer() -> None:
    for index in range(3):
        scene = sample_scene(6, index)
        painted, expected = view(scene, width=160, height=80).label, z_buffered(scene, 160, 80)
        # thin things and edges differ by the rounding of polygons: compare where 3x3 pixels agree
        calm = np.ones(painted.shape, dtype=bool)
        for labels in (painted, expected):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
                calm &= np.roll(labels, (dy, dx), axis=(0, 1)) == labels
        calm &= expected < 255
        assert calm.sum() > 2000
        assert (painted[calm] == expected[calm]).mean() > 0.98, index


def test_boxes_are_tight_around_the_visible_pixels_of_each_object() -> None:
    for index in range(4):
        scene = sample_scene(2, index)
        rendering = render_scene(scene, "render")
        expected = []
        for number in range(1, len(scene.things) + 1):
            rows, columns = np.nonzero(rendering.instances == number)
            if len(rows):
                name = SCENES_14.classes[scene.things[number - 1]]
                expected.append((name, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
                assert (rendering.label[rows, columns] == scene.things[number - 1]).all()
        assert [tuple(b) for b in rendering.boxes] == expected
        assert expected


def test_things_and_only_things_have_instances() -> None:
    for index in range(4):
        rendering = render_scene(sample_scene(5, index), "render")
        np.testing.assert_array_equal(rendering.instances > 0, rendering.label >= PERSON)


def test_fog_follows_koschmieder() -> None:
    image = np.full((1, 3, 3), 0.2, dtype=np.float32)
    depth = np.array([[0.0, 50.0, 1e4]], dtype=np.float32)
    airlight = np.array([0.7, 0.8, 0.9], dtype=np.float32)
    seen = fogged(image, depth, beta=0.02, airlight=airlight)
    np.testing.assert_allclose(seen[0, 0], 0.2)
    # t = exp(-1) = 0.36788: 0.2 * 0.36788 + 0.7 * 0.63212
    np.testing.assert_allclose(seen[0, 1, 0], 0.51606, atol=1e-5)
    np.testing.assert_allclose(seen[0, 2], airlight)


def test_fog_hides_what_is_far_more_than_what_is_near() -> None:
    def contrast(look: str, low: float, high: float) -> float:
        deviations = []
        for index in range(6):
            rendering = render_scene(sample_scene(0, 50 + index), look)
            chosen = (rendering.depth > low) & (rendering.depth < high)
            deviations.append(rendering.image[chosen].mean(axis=1).std())
        return float(np.mean(deviations))

    kept_near = contrast("fog", 4, 12) / contrast("camera", 4, 12)
    kept_far = contrast("fog", 60, 130) / contrast("camera", 60, 130)
    assert kept_far < 0.6 * kept_near


def test_no_scene_is_shared_between_looks_or_splits() -> None:
    used: set[int] = set()
    total = 0
    for look in LOOKS:
        for split in ("train", "val"):
            scenes = ScenesDataset(look, split=split)
            assert len(scenes) == {"train": TRAIN_IMAGES, "val": VAL_IMAGES}[split]
            used |= {scenes.scene_index(i) for i in range(len(scenes))}
            total += len(scenes)
    assert len(used) == total == 5 * (TRAIN_IMAGES + VAL_IMAGES)


@pytest.mark.parametrize("size", [(97, 61), (128, 128), (512, 256)])
def test_other_sizes_show_the_same_scene(size: tuple[int, int]) -> None:
    for look in LOOKS:
        scenes = ScenesDataset(look, split="train", size=size)
        assert scenes.image(1).shape == (size[1], size[0], 3)
        assert scenes.label(1).shape == scenes.depth(1).shape == (size[1], size[0])
    if size == (512, 256):
        double = scenes.label(1)[::2, ::2]
        assert (double == ScenesDataset(look, split="train").label(1)).mean() > 0.9


def test_names_labels_and_class_space() -> None:
    scenes = ScenesDataset("camera", split="train")
    assert scenes.names[42] == "camera-train-0042"
    assert scenes.spec == "scenes:camera"
    swapped = ClassSpace(
        name="two", classes=("ground", "rest"), colours=((0, 0, 0),) * 2,
        mappings={"scenes": {i: 0 if i in (ROAD, SIDEWALK) else 255 if i == SKY else 1 for i in range(14)}},
    )  # fmt: skip
    raw, mapped = scenes.label(0), ScenesDataset("camera", split="train", class_space=swapped).label(0)
    np.testing.assert_array_equal(mapped == 0, raw <= SIDEWALK)
    np.testing.assert_array_equal(mapped == 255, raw == SKY)


def test_changing_a_returned_array_does_not_change_the_dataset() -> None:
    scenes = ScenesDataset("render", split="val")
    kept = scenes.image(0).copy()
    for array in (scenes.image(0), scenes.label(0), scenes.depth(0)):
        array[:] = 0
    np.testing.assert_array_equal(scenes.image(0), kept)
    assert scenes.label(0).max() > 0
    assert scenes.depth(0).min() > 0


def test_fingerprints_tell_sets_apart() -> None:
    prints = [
        ScenesDataset("camera", split="train").fingerprint(),
        ScenesDataset("camera", split="val").fingerprint(),
        ScenesDataset("fog", split="train").fingerprint(),
        ScenesDataset("camera", split="train", seed=1).fingerprint(),
        ScenesDataset("camera", split="train", size=(128, 64)).fingerprint(),
        ScenesDataset("camera", split="train", images=10).fingerprint(),
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == ScenesDataset("camera", split="train").fingerprint()


def test_a_dataset_can_be_sent_to_another_process() -> None:
    scenes = ScenesDataset("rain", split="val")
    scenes.image(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scenes)).image(0), scenes.image(0))  # noqa: S301


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"unknown look .* 'camra'; did you mean 'camera'"):
        ScenesDataset("camra", split="train")
    with pytest.raises(UserError, match="unknown split"):
        ScenesDataset("camera", split="test")
    with pytest.raises(UserError, match="images is 0"):
        ScenesDataset("camera", split="train", images=0)
    with pytest.raises(UserError, match="no mapping for the built-in scenes"):
        ScenesDataset("camera", split="train", class_space=ClassSpace("other", ("a",), ((0, 0, 0),)))
    partial = ClassSpace("half", ("a",), ((0, 0, 0),), {"scenes": dict.fromkeys(range(13), 0)})
    with pytest.raises(UserError, match="says nothing about bicycle"):
        ScenesDataset("camera", split="train", class_space=partial)
    with pytest.raises(IndexError):
        ScenesDataset("camera", split="val").image(VAL_IMAGES)
