"""Draw the figure of docs/concepts.md: `python docs/images/draw_concepts.py`."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

import paumer

TOKENS, BLOCKS = 8, 6
PAUSED = {3: (0, 1, 6), 5: (2,)}  # after which block which tokens pause: the schedule 3:0.375+5:0.125
COLOURS = {3: "#e69f00", 5: "#56b4e9"}  # as in the pause maps
RUNNING, INK, SIDE, STEP = "#44546a", "#222222", 0.62, 2.0
LEFT, DECODER = 5.6, 5.6 + STEP * BLOCKS + 1.1


def main() -> None:
    """Write concepts.webp beside this file."""
    figure, axes = plt.subplots(figsize=(12.5, 6))
    axes.set(xlim=(-0.3, DECODER + 3.4), ylim=(-3.2, TOKENS + 0.9), aspect="equal")
    axes.axis("off")
    _image(axes)
    for token in range(TOKENS):
        _token(axes, token)
    for block in range(1, BLOCKS + 1):
        _box(axes, LEFT + STEP * block - 0.98, 0.6, f"block {block}")
    _box(axes, DECODER, 0.8, "decoder")
    _heads(axes)
    axes.annotate("", (DECODER + 2.2, TOKENS / 2), (DECODER + 1.0, TOKENS / 2), arrowprops={"arrowstyle": "->"})
    axes.text(DECODER + 2.3, TOKENS / 2, "class of\nevery pixel", va="center")
    figure.savefig(Path(__file__).with_name("concepts.webp"), dpi=130, bbox_inches="tight")


def _image(axes: Axes) -> None:
    """A scene under the grid of its patches."""
    image = paumer.scenes(1, seed=0, height=96, width=96).images[0].permute(1, 2, 0).numpy()
    axes.imshow(image, extent=(0, 4, 2, 6), interpolation="nearest")
    for line in range(1, 4):
        axes.plot([line, line], [2, 6], color="white", linewidth=1)
        axes.plot([0, 4], [2 + line, 2 + line], color="white", linewidth=1)
    axes.add_patch(Rectangle((0, 5), 1, 1, fill=False, edgecolor="#d55e00", linewidth=2.5))
    axes.text(0, 6.2, "patch", color="#d55e00")
    axes.annotate("", (LEFT - 0.1, 4), (4.15, 4), arrowprops={"arrowstyle": "->"})
    axes.text(LEFT + SIDE / 2, TOKENS + 0.2, "tokens", ha="center")
    axes.set(xlim=(-0.3, DECODER + 3.4), ylim=(-3.2, TOKENS + 0.9))  # which imshow changed


def _token(axes: Axes, token: int) -> None:
    """A token after every block, until it pauses; then a line to the decoder."""
    last = next((block for block, tokens in PAUSED.items() if token in tokens), None)
    for block in range((last or BLOCKS) + 1):
        colour = COLOURS[last] if last and block == last else RUNNING
        axes.add_patch(Rectangle((LEFT + STEP * block, token + 0.19), SIDE, SIDE, color=colour))
    if last:
        start = LEFT + STEP * last + SIDE
        axes.plot([start, DECODER], [token + 0.5] * 2, color=COLOURS[last], linestyle=(0, (2, 2)), zorder=0.5)


def _box(axes: Axes, left: float, width: float, text: str) -> None:
    """A part of the network, as high as all tokens; waiting tokens pass behind."""
    style = {"boxstyle": "round,pad=0,rounding_size=0.1", "facecolor": "#e8ecf2", "edgecolor": INK}
    axes.add_patch(FancyBboxPatch((left, 0), width, TOKENS, zorder=0.4, **style))
    axes.text(left + width / 2, TOKENS / 2, text, rotation=90, ha="center", va="center", zorder=3)


def _heads(axes: Axes) -> None:
    """What decides who pauses, below the blocks after which something does."""
    for block, tokens in PAUSED.items():
        middle = LEFT + STEP * block + SIDE / 2
        axes.annotate("", (middle, -0.75), (middle, 0.1), arrowprops={"arrowstyle": "->", "color": COLOURS[block]})
        text = f"auxiliary head,\nentropy:\n{len(tokens)} of {TOKENS} pause"
        axes.text(middle, -0.9, text, ha="center", va="top", color=INK, fontsize=9)


if __name__ == "__main__":
    main()
