"""PAUMER: patch pausing for semantic segmentation with vision transformers, and a fair benchmark around it.

The package follows the pipeline, one subpackage per stage: `config` -> `data` -> `models` and `strategies` ->
`training` -> `evaluation` and `measurement` -> `reporting`. `deployment` runs a trained network on other images,
exports it, and chooses a schedule for a budget; `system` has files, locks, progress and errors.

For use as a library: `paumer.load` gives a trained network, a `paumer.Segmenter`; `paumer.Schedule` says where and how
much to pause; `paumer.sweep` and `paumer.measure` compare operating points by accuracy, cost and speed; `paumer.scenes`
draws images to try them on; `paumer.Governor` keeps to a time per frame. `paumer.Segmenter.from_pretrained` loads a
network from the hub, `paumer.wrap` lets any plain timm ViT with any dense head pause, `paumer.load_segmenter` and
`paumer.load_eomt` load published networks, and `paumer.sliding_window_logits` runs a network on windows.
`paumer.load_plugin` registers methods that a file declares. They are imported when first used: importing `paumer`
imports no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from paumer.deployment.api import measure, scenes, sweep
    from paumer.deployment.governor import Governor
    from paumer.deployment.network import HubSegmenter as Segmenter
    from paumer.deployment.network import load
    from paumer.models.eomt import load_eomt
    from paumer.models.published import load_segmenter
    from paumer.models.sliding import sliding_window_logits
    from paumer.models.wrap import wrap
    from paumer.strategies.declared import load_plugin
    from paumer.strategies.notation import Schedule

__all__ = [
    "Governor",
    "Schedule",
    "Segmenter",
    "__version__",
    "load",
    "load_eomt",
    "load_plugin",
    "load_segmenter",
    "measure",
    "scenes",
    "sliding_window_logits",
    "sweep",
    "wrap",
]

_HOMES = {
    "Governor": ("paumer.deployment.governor", "Governor"),
    "Schedule": ("paumer.strategies.notation", "Schedule"),
    "Segmenter": ("paumer.deployment.network", "HubSegmenter"),
    "load": ("paumer.deployment.network", "load"),
    "load_eomt": ("paumer.models.eomt", "load_eomt"),
    "load_plugin": ("paumer.strategies.declared", "load_plugin"),
    "load_segmenter": ("paumer.models.published", "load_segmenter"),
    "measure": ("paumer.deployment.api", "measure"),
    "scenes": ("paumer.deployment.api", "scenes"),
    "sliding_window_logits": ("paumer.models.sliding", "sliding_window_logits"),
    "sweep": ("paumer.deployment.api", "sweep"),
    "wrap": ("paumer.models.wrap", "wrap"),
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used."""
    if name == "__version__":
        return version("paumer")  # unknown where the workflow plans with a checkout that is not installed
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *__all__})
