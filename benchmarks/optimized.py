"""What pausing costs and gives in the inference form of networks with adapters, beside the network as it is.

    python benchmarks/optimized.py --rounds 31

For a tiny and a small vision transformer with random weights, which take as long as trained ones. Prints the time of
pausing over its floor, the speed-up over dense, and which share of the saved multiply-accumulates became speed; each
ratio is of rounds that alternate. Run it on a quiet machine: `other load` says how many processors others kept busy.
"""

from collections.abc import Sequence
from itertools import product

import click
import torch

from paumer.config.measuring import Throughput
from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.measurement.counting import count
from paumer.measurement.floor import floors
from paumer.measurement.modes import callable_of, on_batches
from paumer.measurement.timing import BenchmarkSetting, measure
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense
from paumer.strategies.registry import Label
from paumer.system.machine import find_device, keep_freed_memory

CLASSES = 11
SHAPES = {"tiny": (192, 3), "small": (384, 6)}  # width and attention heads, of 12 blocks


def adapted(name: str, size: int) -> Segmenter:
    """A network whose heads predict by the decoder through adapters, as in workflow/experiments/camvid.yaml."""
    width, heads = SHAPES[name]
    options = {"patch_size": 16, "embed_dim": width, "depth": 12, "num_heads": heads}
    described = NetworkSettings(
        backbone=Backbone(name=name, architecture="vit_small_patch16_384", options=options),
        decoder=Decoder(sub_patch=4),
        heads=Heads(blocks=(1, 2, 3, 4, 6, 8), adapter=width, layers=2, context=7, classifier="decoder"),
        classes=CLASSES,
        image_size=(size, size),
    )
    return build(described, pretrained=False).eval()


def main(
    networks: Sequence[str] = tuple(SHAPES),
    sizes: Sequence[int] = (512, 768),
    batches: Sequence[int] = (1, 8),
    dtypes: Sequence[str] = ("float32", "bfloat16"),
    modes: Sequence[str] = ("eager", "optimized"),
    schedule: str = "1:0.4",
    rounds: int = 31,
) -> None:
    """Time dense, a schedule and its floor, in every form."""
    device, protocol = find_device("auto"), Throughput(rounds=rounds)
    keep_freed_memory()
    for name, size in product(networks, sizes):
        model = adapted(name, size)
        pause = model.with_schedule(schedule).strategy
        gmac = [count(model, (size, size), strategy)["gmac_total"] for strategy in (Dense(), pause)]
        model.to(device)
        points = [(Label(), Dense()), (Label("pause", "", schedule), pause), *floors([pause])]
        for dtype, mode, batch in product(dtypes, modes, batches):
            images = torch.randn(batch, 3, size, size, device=device)
            setting = BenchmarkSetting(name, "", device, dtype, mode, "logits", (size, size), batch, batch)
            runs = {point: callable_of(model, strategy, "logits", mode, dtype=dtype) for point, strategy in points}
            timed = measure({point: on_batches(run, [images]) for point, run in runs.items()}, setting, protocol)
            row = next(row for row in timed.rows if row["strategy"] == "pause")
            realised = row["speedup"] / (gmac[0] / gmac[1])
            print(
                f"{setting.title()}: {row['floor_ratio']:.3f} of its floor, {row['speedup']:.3f} times dense, "
                f"{realised:.3f} of the ratio of GMAC; other load {row['other_load']:.2f}"
            )


if __name__ == "__main__":
    several = {"networks": tuple(SHAPES), "sizes": (512, 768), "batches": (1, 8), "dtypes": ("float32", "bfloat16")}
    options = [click.Option([f"--{name}"], default=default, multiple=True) for name, default in several.items()]
    options += [click.Option(["--modes"], default=("eager", "optimized"), multiple=True)]
    options += [click.Option(["--schedule"], default="1:0.4"), click.Option(["--rounds"], default=31)]
    click.Command(None, callback=main, params=options)()
