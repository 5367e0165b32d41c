from __future__ import annotations

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torchvision.ops import StochasticDepth
from toy import CLASSES, ToyNetwork, batch, make_method

from acclimate.methods.teacher import Margins, Teacher, TeacherOptions, weighed
from acclimate.training.loop import train_step


def moved(network: nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(by)


def test_the_ramp_is_a_plain_mean_until_it_reaches_the_decay() -> None:
    """Students 1, 2, 6 after steps 0, 1, 2: alpha 0, 1/2, 2/3 gives 1, 1.5, 3; a decay of 0.5 ends the ramp."""
    student = nn.Linear(1, 1, bias=False)
    for decay, expected in ((0.999, [1.0, 1.5, 3.0]), (0.5, [1.0, 1.5, 3.75])):
        with torch.no_grad():
            student.weight.fill_(0.0)
        teacher = Teacher(student, TeacherOptions(decay=decay))  # type: ignore[arg-type]
        found = []
        for step, weight in enumerate((1.0, 2.0, 6.0)):
            with torch.no_grad():
                student.weight.fill_(weight)
            teacher.follow(student, step)
            found.append(teacher.network.weight.item())  # type: ignore[union-attr,operator]
        assert found == pytest.approx(expected)


def test_the_average_equals_a_slow_one_and_touches_nothing_else() -> None:
    student = ToyNetwork()
    teacher = Teacher(student, TeacherOptions(decay=0.9, ramp=False))
    slow = {name: value.double() for name, value in student.named_parameters()}
    buffers = copy.deepcopy(dict(teacher.network.named_buffers()))
    for step in range(3):
        moved(student, 0.1 * (step + 1))
        before = copy.deepcopy(student.state_dict())
        teacher.follow(student, step)
        assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
        slow = {name: 0.9 * slow[name] + 0.1 * value.double() for name, value in student.named_parameters()}
    for name, value in teacher.network.named_parameters():
        torch.testing.assert_close(value.double(), slow[name], rtol=0, atol=1e-6)
        assert not value.requires_grad
    assert all(torch.equal(value, buffers[name]) for name, value in teacher.network.named_buffers())


def test_buffers_are_averaged_where_asked() -> None:
    student = ToyNetwork()
    teacher = Teacher(student, TeacherOptions(decay=0.75, ramp=False, average_buffers=True))
    norm = next(module for module in student.modules() if isinstance(module, nn.BatchNorm2d))
    mine = next(module for module in teacher.network.modules() if isinstance(module, nn.BatchNorm2d))
    assert norm.running_mean is not None
    assert mine.running_mean is not None
    start = mine.running_mean.clone()
    norm.running_mean.add_(8.0)
    teacher.follow(student, 0)
    torch.testing.assert_close(mine.running_mean, start + 2.0)


def test_batch_statistics_are_the_targets_own_and_dropout_is_off() -> None:
    student = ToyNetwork()
    student.dropout.p = 0.5
    teacher = Teacher(student, TeacherOptions(batch_norm="batch"))
    images = batch(0).images
    once, again = teacher.probabilities(images), teacher.probabilities(images)
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    averaged = Teacher(student, TeacherOptions(batch_norm="average")).probabilities(images)
    assert not torch.allclose(once, averaged)
    torch.testing.assert_close(
        averaged, Teacher(student, TeacherOptions(batch_norm="average")).train().probabilities(images), rtol=0, atol=0
    )


@pytest.mark.parametrize("batch_norm", ["batch", "average"])
def test_only_batch_norm_is_ever_in_training_mode(batch_norm: str) -> None:
    """Libraries call stochastic depth by many names, so none is looked for."""
    student = ToyNetwork()
    student.dropout = nn.Sequential(StochasticDepth(0.5, "row"), nn.Dropout2d(0.5), nn.Dropout(0.5))  # type: ignore[assignment]
    teacher = Teacher(student, TeacherOptions.model_validate({"batch_norm": batch_norm}))
    for mode in (True, False):
        teacher.train(mode)
        for module in teacher.network.modules():
            assert module.training == (batch_norm == "batch" and isinstance(module, nn.BatchNorm2d))


def test_frozen_batch_norm_stays_frozen() -> None:
    teacher = Teacher(ToyNetwork(batch_norm="frozen"), TeacherOptions(batch_norm="batch"))
    assert not any(module.training for module in teacher.network.modules())


def test_flipping_makes_labels_equivariant() -> None:
    teacher = Teacher(ToyNetwork(), TeacherOptions(flip=True))
    images = batch(0).images
    torch.testing.assert_close(
        teacher.probabilities(images.flip(3)), teacher.probabilities(images).flip(3), rtol=1e-5, atol=1e-6
    )


def test_weights_by_hand() -> None:
    """Two images of 2x2 pixels, three classes; sure are 3 of 4 pixels of the first and 1 of 4 of the second."""
    sure, unsure = [0.95, 0.03, 0.02], [0.2, 0.5, 0.3]
    images = [[[sure, sure], [sure, unsure]], [[unsure, unsure], [unsure, sure]]]
    probabilities = torch.tensor(images).permute(0, 3, 1, 2)
    found = weighed(probabilities, TeacherOptions(threshold=0.9, confidence="batch"))
    assert found.labels.tolist() == [[[0, 0], [0, 1]], [[1, 1], [1, 0]]]
    assert found.kept_share.item() == 0.5
    assert found.weights.unique().tolist() == [0.5]
    per_image = weighed(probabilities, TeacherOptions(threshold=0.9, confidence="image")).weights
    assert per_image[:, 0, 0].tolist() == [0.75, 0.25]
    per_pixel = weighed(probabilities, TeacherOptions(threshold=0.9, confidence="pixel")).weights
    assert per_pixel.tolist() == [[[1, 1], [1, 0]], [[0, 0], [0, 1]]]
    plain = weighed(probabilities, TeacherOptions(confidence="none", margins=Margins(top=50, right=50))).weights
    assert plain[0].tolist() == [[0, 0], [1, 0]]


def test_labels_have_the_images_size() -> None:
    images = batch(0).images
    found = Teacher(ToyNetwork(), TeacherOptions()).pseudo_labels(images)
    assert found.labels.shape == found.weights.shape == (2, *images.shape[2:])
    assert found.labels.max() < CLASSES


def test_the_adapted_model_is_the_student_or_the_teacher_that_saw_the_target_alone() -> None:
    """The teacher's running means are those of the target's batches, whatever the student saw beside them."""
    fabric = Fabric(accelerator="cpu", devices=1)
    student = make_method("dacs", ToyNetwork())
    assert student.result() is student.network
    method = make_method("dacs", ToyNetwork(), teacher={"result": "teacher"})
    assert method.teacher is not None
    network = method.result()
    assert network is method.teacher.network
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    assert norm.running_mean is not None
    expected = norm.running_mean.clone()
    for step in range(3):
        train_step(method, batch(step), batch(step + 50, labels=False), step, fabric=fabric)
    assert len(seen) == 3  # one batch of the target a step
    for mean in seen:
        expected = 0.9 * expected + 0.1 * mean
    torch.testing.assert_close(norm.running_mean, expected)
