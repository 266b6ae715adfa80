"""What CONTRIBUTING.md says works: its example strategy needs a file, its example criterion a function, and no more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

import paumer.strategies
from paumer.config.documents import strategies_text
from paumer.config.measuring import SweepItem, sweep_points
from paumer.models.encoder import Encoder
from paumer.models.heads import LinearHead
from paumer.models.segmenter import Segmenter
from paumer.models.wrap import wrap
from paumer.strategies import criteria
from paumer.strategies.contract import Dense
from paumer.strategies.declared import find_strategies
from paumer.strategies.registry import REGISTRY, build_strategy, operating_point, runnable

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE, CRITERION = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
NAME, MODULE = "pause-evenly", "paumer.strategies.pause_evenly"
ITEM = {"strategy": NAME, "schedules": ["2:0.5", "1:0.25+3:0.25"]}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The example as a file of the folder of strategies."""
    (tmp_path / "pause_evenly.py").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(paumer.strategies, "__path__", [*paumer.strategies.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    found = find_strategies()
    assert set(found) == {*REGISTRY, NAME}
    monkeypatch.setitem(REGISTRY, NAME, found[NAME])


@pytest.fixture
def model() -> Segmenter:
    torch.manual_seed(0)
    tiny = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 0, "img_size": (32, 48)}
    vit = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **tiny)
    return Segmenter(Encoder(vit), LinearHead(32, 5), {}).double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 48, dtype=torch.float64)


def test_example_is_short() -> None:
    assert len(FILE.splitlines()) <= 45
    assert f"`{MODULE.replace('.', '/')}.py`" in PAGE


def test_example_is_not_there_yet() -> None:
    assert NAME not in REGISTRY
    assert not (ROOT / f"{MODULE.replace('.', '/')}.py").exists()


def test_configuration_accepts_it_as_it_is(registered) -> None:
    item = SweepItem.model_validate(ITEM)
    assert [point.schedule for point in sweep_points([item], "dense")] == ["dense", *ITEM["schedules"]]
    assert not any(point.varies or point.head_blocks for point in item.points())
    assert f"| `{NAME}` " in strategies_text()


def test_it_runs_and_gives_every_patch_back(registered, model, images) -> None:
    chosen = runnable(model, sweep_points([SweepItem.model_validate(ITEM)]), "test")
    seen: list[int] = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1] - 1))
    outputs = model.sweep(images, [strategy for _, strategy in chosen], count=True)
    assert sorted(seen) == [12, 12, 12, 18, 18, 24, 24, 24, 24]  # blocks that points have in common run once
    for (_, strategy), output in zip(chosen, outputs, strict=True):
        assert torch.equal(output.logits, model.patch_logits(images, strategy))
        assert output.logits.shape == (2, 5, 4, 6)
    assert outputs[0].macs[0] > max(output.macs[0] for output in outputs[1:])
    tokens, state = model.encode(images, chosen[1][1])
    assert tokens.shape[1] == 1 + 12
    assert torch.equal(state.positions, torch.arange(0, 24, 2).expand(2, -1))


def test_it_composes_and_wraps(registered, model, images) -> None:
    point = operating_point(f"merge>{NAME}", "", "1:0.25>2:0.5")
    assert str(build_strategy(point)) == str(point)
    assert model(images, build_strategy(point)).shape == (2, 5, 32, 48)
    wrapped = wrap(model.encoder.vit, torch.nn.Linear(32, 5).double(), "2:0.5", strategy=NAME)
    assert wrapped(images).shape == (2, 5, 32, 48)
    assert not torch.equal(wrapped(images), wrapped(images, Dense()))


def test_example_is_in_our_style(tmp_path: Path) -> None:
    path = tmp_path / "pause_evenly.py"
    path.write_text(FILE, encoding="utf-8")
    for command in (["ruff", "check", "--no-cache"], ["ruff", "format", "--no-cache", "--check"]):
        subprocess.run([*command, "--config", str(ROOT / "pyproject.toml"), str(path)], check=True, cwd=ROOT)


def test_a_criterion_is_a_declared_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criteria, "CRITERIA", dict(criteria.CRITERIA))
    exec(CRITERION, vars(criteria) | {"Tensor": torch.Tensor})
    declared = criteria.CRITERIA["squared"]
    logits = torch.tensor([0.0, 0.0]).view(1, 1, 1, 2)
    assert declared.score(logits).item() == pytest.approx(0.75)
    assert not declared.is_control
