"""Speed and memory of one AdvEnt step: acclimate's default against a plain fp32 step in the published order.

    python benchmarks/advent_step.py [--steps 20] [--size 640 320] [--learning-rate 2.5e-6]

Both compute the same thing on the same network (DeepLab-V2 ResNet-101, multi-level, published batch norm: statistics
of the current image, affine parameters frozen), batch 1 + 1, from the same initial weights on the same pictures of the
built-in scenes. The plain step's heads are sums of plain dilated convolutions. ``acclimate-fp32`` is acclimate's step
in float32: it tells what of a difference between the loss curves is bfloat16's. Each runs in a process of its own, so
that peak memory is its own. A last pair of rows measures what a joint forward pass of both domains adds; it needs
equal sizes and batch norm that does not read the batch (``frozen``), so it is *not* the published step and is named
apart.

The learning rate is a hundredth of the published one, because the comparison of loss curves asks for it: a ResNet-101
that starts from random weights and normalises by single images is chaotic at 2.5e-4, where two fp32 runs that differ
in the last bit part too. The rate has no influence on time or memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from scripts import at_least_one, run_script

VARIANTS = ("plain", "acclimate", "acclimate-fp32", "frozen-separate", "frozen-joint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=at_least_one, default=20)
    parser.add_argument("--size", type=at_least_one, nargs=2, default=(640, 320), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--learning-rate", type=float, default=2.5e-6, help="2.5e-4 is published; see above")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=VARIANTS, help="measure some of the variants")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments.variant, arguments.steps, tuple(arguments.size), arguments.learning_rate)))
        return

    import torch

    from acclimate.io.environment import environment

    found = environment()
    features = [name for name, has in torch.cpu.get_capabilities().items() if has is True and "avx512" in name]
    print(f"{found['processor']}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"vector instructions: {', '.join(sorted(features)) or 'no AVX-512'}")
    results = {}
    for variant in arguments.only:
        command = [sys.executable, __file__, "--variant", variant, "--steps", str(arguments.steps)]
        command += ["--learning-rate", str(arguments.learning_rate), "--size", *map(str, arguments.size)]
        output = subprocess.run(command, capture_output=True, text=True)
        if output.returncode:
            sys.exit(output.stderr)
        results[variant] = json.loads(output.stdout.splitlines()[-1])
    print(f"\n{'step':28}{'seconds (median)':>18}{'peak MB':>10}{'speed-up':>10}")
    for variant, base in zip(VARIANTS, ("plain", "plain", "plain", "frozen-separate", "frozen-separate"), strict=True):
        if not {variant, base} <= results.keys():
            continue
        row = results[variant]
        gain = results[base]["seconds"] / row["seconds"]
        print(f"{variant:28}{row['seconds']:18.3f}{row['peak_mb']:10.0f}{gain:9.2f}x")
    for variant in ("acclimate-fp32", "acclimate"):
        if {"plain", variant} <= results.keys():
            compare_losses(results["plain"]["losses"], results[variant]["losses"], variant)


def compare_losses(plain: list[dict[str, float]], ours: list[dict[str, float]], variant: str) -> None:
    """Prints how far the two loss curves are apart."""
    print(f"\nloss curves of {len(plain)} steps, plain fp32 against {variant}:")
    for name in plain[0]:
        worst = max(abs(a[name] - b[name]) / max(abs(a[name]), 1e-3) for a, b in zip(plain, ours, strict=True))
        print(
            f"  {name:34} first {plain[0][name]:.4f} {ours[0][name]:.4f}   "
            f"last {plain[-1][name]:.4f} {ours[-1][name]:.4f}   largest relative difference {worst:.4f}"
        )


def measure(variant: str, steps: int, size: tuple[int, int], learning_rate: float) -> dict[str, object]:
    """Runs ``steps`` steps of a variant and returns its median time, its peak memory and its losses."""
    import torch

    from acclimate.data.readers.scenes import ScenesDataset
    from acclimate.data.sample import Batch
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network
    from acclimate.training.resources import peak_memory_mb, reset_peak_memory

    def batch(look: str) -> Batch:
        scene = ScenesDataset(look, split="train", size=size)
        image = torch.from_numpy(scene.image(0).copy()).permute(2, 0, 1)[None].float() / 255
        return Batch(image, torch.from_numpy(scene.label(0).copy())[None].long(), [scene.names[0]])

    source, target = batch("render"), batch("camera")
    torch.manual_seed(0)
    setting = "frozen" if variant.startswith("frozen") else "published"
    config = NetworkConfig.parse({"name": "deeplab-v2-resnet101", "multi_level": True, "batch_norm": setting})
    network = build_network(config, classes=19).train()
    if variant == "plain":
        run = plain_step(network, source, target, learning_rate)
    elif variant.startswith("acclimate"):
        precision = "32-true" if variant.endswith("fp32") else "auto"
        run = acclimate_step(network, source, target, learning_rate, precision=precision)
    else:
        run = forward_pair(network, source, target, joint=variant.endswith("joint"))
    losses, seconds = [], []
    reset_peak_memory()
    for _ in range(steps):
        begin = time.perf_counter()
        losses.append(run())
        seconds.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(seconds[1:] or seconds), "peak_mb": peak_memory_mb(), "losses": losses}


def plain_step(network, source, target, learning_rate):  # type: ignore[no-untyped-def]
    """The published iteration, written plainly: fp32, default memory format, one backward pass per loss term."""
    import math

    import torch
    import torch.nn.functional as F

    from acclimate.models.discriminator import OutputDiscriminator

    for head in network.heads():
        head.forward = lambda features, head=head: sum(convolution(features) for convolution in head.conv2d_list)
    torch.manual_seed(1)
    discriminators = [OutputDiscriminator(19), OutputDiscriminator(19)]  # main, auxiliary
    groups = [
        {"params": list(g.params), "lr": learning_rate * g.learning_rate_multiple} for g in network.parameter_groups()
    ]
    sgd = torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, weight_decay=5e-4)
    adams = [torch.optim.Adam(d.parameters(), lr=1e-4, betas=(0.9, 0.99)) for d in discriminators]
    height_width = source.images.shape[2:]
    bce = F.binary_cross_entropy_with_logits

    def enlarge(logits):  # type: ignore[no-untyped-def]
        return F.interpolate(logits, size=height_width, mode="bilinear", align_corners=True)

    def information(logits):  # type: ignore[no-untyped-def]
        p = F.softmax(logits, dim=1)
        return -p * torch.log2(p + 1e-30) / math.log2(19)

    def step() -> dict[str, float]:
        for optimizer in (sgd, *adams):
            optimizer.zero_grad()
        for d in discriminators:
            d.requires_grad_(False)
        output = network(source.images)
        source_logits = [enlarge(output.logits), enlarge(output.levels["auxiliary"].logits)]
        segmentation = [F.cross_entropy(logits, source.labels, ignore_index=255) for logits in source_logits]
        (segmentation[0] + 0.1 * segmentation[1]).backward()

        output = network(target.images)
        target_logits = [enlarge(output.logits), enlarge(output.levels["auxiliary"].logits)]
        fooled = [d(information(logits)) for d, logits in zip(discriminators, target_logits, strict=True)]
        adversarial = [bce(f, torch.zeros_like(f)) for f in fooled]
        (0.001 * adversarial[0] + 0.0002 * adversarial[1]).backward()

        for d in discriminators:
            d.requires_grad_(True)
        told = []
        for label, logits in ((0.0, source_logits), (1.0, target_logits)):
            for d, values in zip(discriminators, logits, strict=True):
                out = d(information(values.detach()))
                loss = bce(out, torch.full_like(out, label))
                (loss / 2).backward()
                told.append(loss)
        for optimizer in (sgd, *adams):
            optimizer.step()
        return {
            "segmentation": segmentation[0].item(),
            "adversarial main": adversarial[0].item(),
            "discriminator main on source": told[0].item(),
            "discriminator main on target": told[2].item(),
        }

    return step


def acclimate_step(network, source, target, learning_rate, *, precision):  # type: ignore[no-untyped-def]
    """The step of acclimate: ``train_step`` in channels-last, by default with ``precision: auto``."""
    import torch

    from acclimate.methods import Setting, method_class, method_options
    from acclimate.methods.optimizers import OptimizerSettings
    from acclimate.stages.train import launched_fabric
    from acclimate.training.loop import train_step
    from acclimate.training.settings import resolved_precision

    torch.manual_seed(1)
    fabric = launched_fabric(resolved_precision(precision, network.config))
    method = method_class("advent")(
        network,
        options=method_options("advent", {}),
        setting=Setting(optimizer=OptimizerSettings(learning_rate=learning_rate)),
    )
    method.network.to(memory_format=torch.channels_last)
    source, target = (b.to("cpu", channels_last=True) for b in (source, target))
    count = 0

    def step() -> dict[str, float]:
        nonlocal count
        record = train_step(method, source, target, count, fabric=fabric)
        count += 1
        names = ("segmentation", "adversarial main", "discriminator main on source", "discriminator main on target")
        return {name: float(record[name]) for name in names}

    return step


def forward_pair(network, source, target, *, joint: bool):  # type: ignore[no-untyped-def]
    """Forward and backward passes of both domains in bf16 and channels-last, one after the other or in one batch."""
    import torch

    from acclimate.stages.train import launched_fabric
    from acclimate.training.settings import resolved_precision

    fabric = launched_fabric(resolved_precision("auto", network.config))
    network.to(memory_format=torch.channels_last)
    source, target = (b.images.to(memory_format=torch.channels_last) for b in (source, target))

    def step() -> dict[str, float]:
        network.zero_grad()
        for images in [torch.cat([source, target])] if joint else [source, target]:
            with fabric.autocast():
                loss = network(images).logits.float().square().mean()
            loss.backward()
        return {"nothing": 0.0}

    return step


if __name__ == "__main__":
    run_script(main)
