"""A step seldom waits for the device: each time, the kernels that were launched ahead run out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from toy import batch, make_method

from acclimate.data.sample import Batch
from acclimate.training.loop import train_step
from acclimate.training.warnings import ensure_finite
from operators import Waits, on_device

FABRIC = Fabric(accelerator="cpu", devices=1)


def on_a_device(number: int, *, labels: bool) -> Batch:
    made = batch(number, labels=labels)
    assert made.labels is not None or not labels
    return Batch(on_device(made.images), on_device(made.labels) if made.labels is not None else None, made.names)


def test_waits_are_seen() -> None:
    values = on_device(torch.arange(6.0))
    with Waits() as waits:
        bool((values + 1).sum() > 0)
        float(values.mean())
        values[values > 2]
        torch.zeros(3).to(values.device)
        torch.tensor([1.0], device=values.device)
        (values + 1).cpu().sum().item()
    assert waits.told == ["__bool__", "__float__", "__getitem__", "to", "tensor", "cpu"]
    with Waits() as waits:
        torch.zeros(3).to(values.device, non_blocking=True)
        values[2:].to(torch.float64).sum()
        int(torch.randint(5, ()))
    assert waits.told == []


@pytest.mark.parametrize(
    ("name", "options", "allowed"),
    [
        ("source_only", {}, []),
        ("advent", {"class_prior_weight": 1.0}, []),
        (
            "dacs",
            {"masked_consistency": {}},
            ["cpu"],
        ),  # ClassMix draws, on the processor, among the classes that are there
        ("dacs", {"mixing": "cutmix", "teacher": {"margins": {"top": 10}, "flip": True}}, []),
    ],
)
def test_a_step_waits_for_no_more_than_it_needs(name: str, options: dict[str, Any], allowed: list[str]) -> None:
    method = make_method(name, **options)
    method.train()
    with Waits() as waits:
        terms = train_step(method, on_a_device(0, labels=True), on_a_device(50, labels=False), 0, fabric=FABRIC)
    assert waits.told == allowed
    with Waits() as waits:
        ensure_finite({name: term.value for name, term in terms.items()}, 1, names=[])
    assert len(waits.told) == 1
