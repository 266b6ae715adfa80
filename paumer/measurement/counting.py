"""Multiply-accumulates of one forward pass, counted by fvcore.

Counted are convolutions, linear layers and matrix products, attention included, as papers do under the name GFLOPs.
Norms, activations, softmax and resizing are not counted: they multiply no matrices.
"""

import logging
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis

from paumer.config.base import Size
from paumer.models.graphs import Forward
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy

# fvcore counts these by the element; they multiply no matrices.
NOT_COUNTED = ("aten::layer_norm", "aten::upsample_bilinear2d", "aten::batch_norm", "aten::adaptive_avg_pool2d")


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
