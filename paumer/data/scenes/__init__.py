"""The data set "scenes": street scenes drawn by rule, in the layout of Cityscapes on disk."""

from paumer.data.scenes.scene import draw_scene
from paumer.data.scenes.writer import generate

__all__ = ["draw_scene", "generate"]
