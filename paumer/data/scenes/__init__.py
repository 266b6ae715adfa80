"""The data set "scenes": street scenes drawn by rule, in the layout of Cityscapes on disk."""

from dataclasses import replace

from paumer.data import cityscapes
from paumer.data.scenes.scene import draw_scene, generate

__all__ = ["DATASET", "draw_scene", "generate"]

DATASET = replace(
    cityscapes.DATASET,
    name="scenes",
    origin="the scenes with `paumer data`",
    licence="drawn by this project, under its own licence, Apache-2.0",
    citation="this software (CITATION.cff)",
    download=None,
    finishing=None,
    label_remedy="remove the folder, and the scenes are drawn anew",
)
