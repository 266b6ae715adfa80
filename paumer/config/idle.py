"""Keys that would do nothing: an experiment that sets one is refused, with what would make it do something."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from paumer.config.base import Section, parse
from paumer.config.measuring import Evaluation
from paumer.config.network import Decoder, Heads
from paumer.config.training import Phase
from paumer.errors import PaumerError

if TYPE_CHECKING:
    from paumer.config.experiment import Experiment

# The path of a section, the section, those of its keys that do nothing, and what would make them.
Idle = tuple[str, Section, tuple[str, ...], str]


def idle_key(experiment: "Experiment") -> str | None:
    """The first key that is set and does nothing, in a sentence; None where every key does something.

    A key is set where its value is another one than by default: what a stage stores names all of them.
    """
    ablations = (idle for name in experiment.ablations for idle in _of_ablation(experiment, name))
    return _first(chain(_of_experiment(experiment), ablations))


def read_evaluation(content: Any, origin: str) -> Evaluation:
    """Validate an evaluation that somebody wrote outside of an experiment.

    Raises:
        PaumerError: it is none, or has a key that does nothing.
    """
    evaluation: Evaluation = parse(Evaluation, content, origin)
    if idle := _first(_of_evaluation("evaluation", evaluation)):
        raise PaumerError(f"{origin}: {idle}")
    return evaluation


def _first(idle: Iterable[Idle]) -> str | None:
    for path, section, names, remedy in idle:
        for name in names:
            default = type(section).model_fields[name].get_default(call_default_factory=True)
            if getattr(section, name) != default:
                return f"{path}.{name}: does nothing {remedy}, or leave it out"
    return None


def _of_experiment(experiment: "Experiment") -> Iterator[Idle]:
    training, recipes = experiment.training, experiment.training.recipes
    yield from _of_decoder("decoder", experiment.decoder)
    yield from _of_heads("heads", experiment.heads)
    for backbone in experiment.backbones:
        path = f"backbones.{backbone.name}"
        if backbone.decoder is not None:
            yield from _of_decoder(f"{path}.decoder", backbone.decoder)
        if backbone.heads is not None:
            yield from _of_heads(f"{path}.heads", backbone.heads)
        if backbone.control_for is not None:
            yield path, backbone, ("heads",), "for a control, which is trained plainly; remove control_for"
    if training.shared_phase is None:
        yield "training", training, ("shared_heads",), "without a shared phase; describe training.shared_phase"
    else:
        yield from _of_phase("training.shared_phase", training.shared_phase)
    yield from _of_phase("training.recipe_phase", training.recipe_phase)
    drawn = {"paumer": ("pausing", training.pausing), "merge": ("merging", training.merging)}
    for recipe, (name, section) in (drawn | {"resize": ("resizing", training.resizing)}).items():
        if recipe not in recipes:
            every = tuple(type(section).model_fields)
            yield f"training.{name}", section, every, f"without recipe {recipe}; add it to training.recipes"
    yield from _of_evaluation("evaluation", experiment.evaluation)
    if experiment.data.dataset != "scenes":
        scenes = experiment.data.scenes
        yield "data.scenes", scenes, tuple(type(scenes).model_fields), "for a dataset that is not drawn; use scenes"


def _of_ablation(experiment: "Experiment", name: str) -> Iterator[Idle]:
    """What an ablation itself names; what it makes idle by changing something else is what it ablates."""
    change, ablated = experiment.ablations[name], experiment.ablated(name)
    for path, section, names, remedy in _of_heads("heads", ablated.heads):
        yield f"ablations.{name}.{path}", section, tuple(key for key in names if key in change.heads), remedy


def _of_decoder(path: str, decoder: Decoder) -> Iterator[Idle]:
    if decoder.name == "linear":
        yield path, decoder, ("layers", "dropout"), f"in the linear decoder; set {path}.name to mask_transformer"
    else:
        yield path, decoder, ("sub_patch",), f"in the mask transformer; set {path}.name to linear"


def _of_heads(path: str, heads: Heads) -> Iterator[Idle]:
    if not heads.adapter:
        yield path, heads, ("layers",), f"without adapters; set {path}.adapter above 0"


def _of_phase(path: str, phase: Phase) -> Iterator[Idle]:
    if phase.optimizer != "sgd":
        yield path, phase, ("momentum",), f"with {phase.optimizer}; set {path}.optimizer to sgd"
    if phase.optimizer != "muon":
        yield path, phase, ("matrix_learning_rate",), f"with {phase.optimizer}; set {path}.optimizer to muon"


def _of_evaluation(path: str, evaluation: Evaluation) -> Iterator[Idle]:
    if evaluation.inference == "whole":
        yield path, evaluation, ("window", "stride"), f"where images are seen whole; set {path}.inference to sliding"
