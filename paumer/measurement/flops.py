"""Stage `flops`: multiply-accumulates of every operating point.

Counted are convolutions, linear layers and matrix products, attention included, as papers do under the name GFLOPs.
Norms, activations, softmax and resizing are not counted: they multiply no matrices.
"""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fvcore.nn import FlopCountAnalysis

from paumer.config.base import Size
from paumer.config.runs import CostSettings
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.measurement.throughput import inputs_of, untrained
from paumer.models.graphs import Forward
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.files import require_writable, write_text
from paumer.system.progress import progress

# fvcore counts these by the element; they multiply no matrices.
NOT_COUNTED = ("aten::layer_norm", "aten::upsample_bilinear2d", "aten::batch_norm", "aten::adaptive_avg_pool2d")


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


def count(model: Segmenter, size: Size, strategy: Strategy) -> dict[str, float]:
    """GMAC of one image of `size` in total and by part: encoder, decoder, auxiliary heads."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    # Resizing logits to the image is not counted.
    analysis = FlopCountAnalysis(Forward(model, strategy, "patch_logits"), torch.zeros(1, 3, *size))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
    analysis.set_op_handle(**dict.fromkeys(NOT_COUNTED, lambda inputs, outputs: 0))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        total = analysis.total()
        parts = analysis.by_module()
    decoder, heads = parts["model.decoder"], parts["model.heads"] if len(model.heads) else 0
    # The head at which an early exit ends replaces the decoder, and is counted under heads.
    return {
        "gmac_total": total / 1e9,
        "gmac_encoder": (total - decoder - heads) / 1e9,
        "gmac_decoder": decoder / 1e9,
        "gmac_heads": heads / 1e9,
    }


def _attention(inputs: list[Any], outputs: list[Any]) -> float:
    """Multiply-accumulates of fused attention: queries x keys, and weights x values."""
    query, key, value = (item.type().sizes() for item in inputs[:3])
    *batch, rows, width = query
    pairs = rows * key[-2]
    for size in batch:
        pairs *= size
    return float(pairs * (width + value[-1]))
