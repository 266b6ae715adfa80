"""Stage `flops`: multiply-accumulates of every operating point."""

from pathlib import Path

import pandas as pd

from paumer.config.runs import CostSettings
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.measurement.counting import count
from paumer.measurement.throughput import inputs_of, untrained
from paumer.strategies.contract import Dense
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.files import require_writable, write_text
from paumer.system.progress import progress


def flops(settings: CostSettings, manifest: Path, output: Path) -> None:
    """Write GMAC of one forward pass for every backbone and every operating point of fixed cost.

    Where evaluation runs on windows, one pass is a window; `windows` says how many an image has on average.
    """
    data = SegmentationData(*samples(manifest, settings.split))
    require_writable(output, ".csv")
    inputs = [(backbone, of) for backbone in settings.main_backbones for of in inputs_of(settings, backbone, data)]
    rows = []
    for backbone, of in inputs:
        size = of.size
        model, points = untrained(settings, backbone, len(data.dataset.classes), size)
        work = progress(points, title=f"counting {backbone.name}")
        counted = {(point.strategy, point.schedule): count(model, size, strategy) for point, strategy in work}
        for control in settings.controls(backbone):
            smaller, _ = untrained(settings, control, len(data.dataset.classes), size)
            counted[SMALLER_BACKBONE, control.name] = count(smaller, size, Dense())
        common = {"backbone": backbone.name, "decoder": settings.decoder_of(backbone).name}
        seen = {"height": size[0], "width": size[1], "windows": of.windows}
        rows += [
            {**common, "strategy": strategy, "schedule": schedule, **seen, **parts}
            for (strategy, schedule), parts in counted.items()
        ]
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6f"))
