"""The history of translated pictures."""

from __future__ import annotations

import torch

from acclimate.translation.cyclegan import ImagePool


def pictures(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def values(batch: torch.Tensor) -> list[float]:
    return [float(picture[0, 0, 0]) for picture in batch]


def test_while_filling_every_picture_is_kept_and_returned() -> None:
    pool = ImagePool(3)
    assert values(pool.exchange(pictures(1, 2, 3))) == [1, 2, 3]
    assert values(torch.stack(pool.state())) == [1, 2, 3]


def test_once_full_a_picture_is_returned_or_takes_the_place_of_the_one_returned() -> None:
    torch.manual_seed(0)
    pool = ImagePool(3)
    pool.exchange(pictures(0, 1, 2))
    exchanged = 0
    for new in range(3, 1003):
        before = values(torch.stack(pool.state()))
        (answer,) = values(pool.exchange(pictures(new)))
        after = values(torch.stack(pool.state()))
        if answer == new:
            assert after == before
        else:
            exchanged += 1
            place = before.index(answer)
            assert after == [*before[:place], float(new), *before[place + 1 :]]
    assert 430 < exchanged < 570  # five standard deviations around one half


def test_a_pool_of_nothing_returns_what_it_gets() -> None:
    pool = ImagePool(0)
    assert values(pool.exchange(pictures(4, 5))) == [4, 5]
    assert pool.state() == []


def test_what_the_discriminator_sees_has_no_graph() -> None:
    batch = pictures(1, 2).clone().requires_grad_()
    for size in (0, 5):
        assert not ImagePool(size).exchange(batch * 2).requires_grad


def test_a_restored_pool_goes_on_alike() -> None:
    first, second = ImagePool(2), ImagePool(2)
    first.exchange(pictures(1, 2))
    second.restore(first.state(), torch.device("cpu"))
    for pool in (first, second):
        torch.manual_seed(3)
        pool.answer = values(pool.exchange(pictures(5, 6, 7)))  # type: ignore[attr-defined]
    assert first.answer == second.answer  # type: ignore[attr-defined]
    assert values(torch.stack(first.state())) == values(torch.stack(second.state()))
