"""`paumer check` finds what contradicts, `paumer new` writes what passes it, and a method from outside is measured."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import torch
import yaml
from command_line import CommandLine

from paumer.config.measuring import SweepItem
from paumer.deployment.extending.conformance import CHECKS, examples_of, random_images, random_network
from paumer.strategies import declared
from paumer.strategies.contract import Strategy
from paumer.strategies.notation import read_schedule
from paumer.strategies.reductions import PausedTokens
from paumer.strategies.registry import REGISTRY
from paumer.system.errors import PaumerError
from paumer.system.plugins import GROUPS

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/extending.md"
EXAMPLE = REPOSITORY / "examples/token_norm"
FILE = EXAMPLE / "src/paumer_token_norm.py"


@pytest.fixture(scope="module")
def network():
    return random_network()


class Kept(Strategy):
    """Patches at the first places run on; nothing is wrong with it."""

    name = "kept"
    description = "the first patches run on"
    examples = ("3:0.4",)
    recipes = ("dense",)
    defers_tokens = True
    parse = staticmethod(read_schedule)
    reduction = PausedTokens

    def after_block(self, block, tokens, state):
        count = state.num_kept(self.name, self.parameters, block, state.running(tokens))
        return self.pause(tokens, self.choose(state.patches_of(tokens), count), state)

    def choose(self, patches, count):
        return torch.arange(count).expand(patches.shape[0], -1)

    def pause(self, tokens, chosen, state):
        return state.apply(self.reduction(self.name, state.keep(tokens, chosen), state.patches_of(tokens)), tokens)


class Rolled(PausedTokens):
    """Every patch comes back one place further."""

    def restore(self, values):
        return super().restore(values).roll(1, dims=1)


class Misplaced(Kept):
    reduction = Rolled


class OfTheFirstImage(Kept):
    def choose(self, patches, count):
        return patches.norm(dim=-1)[:1].topk(count).indices.expand(patches.shape[0], -1)


class Free(Kept):
    def choose(self, patches, count):
        return (patches @ torch.eye(patches.shape[-1], dtype=patches.dtype)).norm(dim=-1).topk(count).indices


class Guessing(Kept):
    parse = staticmethod(lambda text: read_schedule(text if text[:1].isdigit() else "3:0.4"))


class Crashing(Kept):
    parse = staticmethod(lambda text: read_schedule(f"{text[:2]}{float(text[2:])}"))


class Shifted(Kept):
    def classify(self, network, patches, state):
        return 1.001 * super().classify(network, patches, state)


class Headless(Kept):
    reads_heads = True

    def skip(self, network):
        return ""


class Unfinished(Kept):
    def classify(self, network, patches, state):
        return super().classify(network, patches, state) / 0


class Undecided(Kept):
    def choose(self, patches, count):
        kept = patches[0, 0, 0] > 0
        return super().choose(patches, count if kept else count - 1)


class Alternating(Kept):
    calls: ClassVar[list[int]] = []

    def choose(self, patches, count):
        self.calls.append(count)
        return super().choose(patches, count) + len(self.calls) % 2


BROKEN = [
    (Misplaced, "every patch comes back to its place", "a patch gets the logits of a patch that shows something else"),
    (OfTheFirstImage, "images of a batch run as if they were alone", "image 1 of a batch is not as alone"),
    (OfTheFirstImage, "the order of the images does not matter", "another order gives something else"),
    (Free, "the multiply-accumulates that it charges are those that fvcore counts", "an image is charged"),
    (Guessing, "impossible schedules are refused in words", "parse('') refuses nothing; raise PaumerError"),
    (Crashing, "impossible schedules are refused in words", "parse('') raises ValueError (could not convert"),
    (Shifted, "where nothing is asked for it is dense, bit for bit", "with an empty schedule the logits are not"),
    (Headless, "it needs the heads that it reads, and no more", "it names heads (3,), but on a network without any"),
    (Unfinished, "logits have the size of the image", "or numbers that are not finite"),
    (Unfinished, "it runs in bfloat16", "logits are not finite"),
    (Undecided, "it is exported and compiled", "cannot be exported"),
    (Alternating, "in a sweep it gives what it gives alone", "logits differ by"),
]


@pytest.mark.parametrize(
    ("kind", "says", "reason"), BROKEN, ids=[f"{kind.__name__}-{says}" for kind, says, _ in BROKEN]
)
def test_a_check_finds_what_it_is_for(forgotten, network, kind, says, reason) -> None:
    images = random_images()
    declared.check_declaration(kind, "test")
    REGISTRY["kept"] = Kept
    CHECKS[says](network, images, *examples_of("kept"))
    REGISTRY["kept"] = kind
    with pytest.raises(PaumerError) as caught:
        CHECKS[says](network, images, *examples_of("kept"))
    assert reason in str(caught.value)


def test_the_example_passes_and_is_what_new_writes(
    forgotten, command_line: CommandLine, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, _ = command_line.run("new", "strategy", "token-norm")
    assert code == 0
    assert "next: pip install -e token_norm && paumer check token-norm" in printed
    written = {path.relative_to("token_norm"): path.read_bytes() for path in Path("token_norm").rglob("*.*")}
    assert {path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*.*") if "egg-info" not in str(path)} >= set(written)
    for path, content in written.items():
        assert (EXAMPLE / path).read_bytes() == content, "run `paumer new strategy token-norm`"
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 60
    code, printed, _ = command_line.run("check", "token_norm/src/paumer_token_norm.py")
    assert code == 0, printed
    lines = printed.splitlines()
    assert len(lines) == 2 * len(CHECKS)
    others = [line for line in lines if not line.startswith("ok    token-norm ")]
    assert [line.partition(": ")[0] for line in others] == ["skip  token-norm 3:0.4", "skip  token-norm 2:0.2+5:0.3"]
    assert all(line.endswith(": it has no criterion that reads a head") for line in others)
    assert "strategy token-norm: paumer_token_norm.py sha256 " in command_line.run("check")[1]


def test_a_package_of_another_name_is_in_our_style_and_loads(
    forgotten, command_line: CommandLine, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    assert command_line.run("new", "strategy", "my-own-method", "--output", folder)[0] == 0
    for command in (["ruff", "check", "--no-cache"], ["ruff", "format", "--no-cache", "--check"]):
        subprocess.run([*command, "--config", str(REPOSITORY / "pyproject.toml"), str(folder)], check=True)
    declared.load_plugin(folder / "src/paumer_my_own_method.py")
    assert REGISTRY["my-own-method"].__name__ == "MyOwnMethod"
    assert command_line.refuse("new", "strategy", "my-other-method", "--output", folder).endswith("name a new folder")
    assert "there is a strategy of this name" in command_line.refuse("new", "strategy", "my-own-method")
    assert "'Mine': strategies have names of small letters" in command_line.refuse("new", "strategy", "Mine")


def test_a_check_that_fails_is_exit_code_1(forgotten, command_line: CommandLine, tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8").replace(", patches), tokens)", ", patches.flip(1)), tokens)")
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")
    code, printed, error = command_line.run("check", tmp_path / "broken.py")
    assert code == 1
    assert re.search(r"^FAIL  token-norm 3:0\.4: every patch comes back to its place: \w", printed, re.MULTILINE)
    assert re.search(r"broken\.py: \d+ of 28 checks failed; see the lines marked FAIL above$", error.strip())


def test_the_pages_file_brings_a_criterion_and_a_dataset(forgotten, command_line: CommandLine, tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    code, printed, _ = command_line.run("check", tmp_path / "mine.py")
    assert code == 0, printed
    assert printed.count("ok    streets: ") == 5
    assert "ok    pause 3:0.4 by squared: scores of its criterion are one number per patch" in printed
    assert SweepItem(strategy="pause", schedules=["3:0.4"], criteria=["squared"]).points()[0].criterion == "squared"


def test_the_page_names_the_commands_and_the_entry_point(forgotten) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "paumer new strategy token-norm\n" in text and "paumer check token_norm/src/paumer_token_norm.py\n" in text
    [points] = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    named = tomllib.loads(points)["project"]["entry-points"]
    assert set(named) == set(GROUPS.values())
    built = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert built["paumer.strategies"] == named["paumer.strategies"]


def test_names_that_are_unknown_are_refused(command_line: CommandLine) -> None:
    assert "nothing: no registered strategy, criterion or dataset, and no file" in command_line.refuse(
        "check", "nothing"
    )
    assert "nothing.py: no such file" in command_line.refuse("check", "nothing.py")


def test_criteria_and_datasets_are_checked_too(command_line: CommandLine) -> None:
    code, printed, _ = command_line.run("check", "camvid")
    assert code == 0 and printed.count("ok    camvid: ") == 5
    code, printed, _ = command_line.run("check", "margin")
    assert code == 0
    assert "ok    pause 3:0.4 by margin: scores of its criterion are one number per patch" in printed


SPEED = {
    "experiment": "outside",
    "device": "cpu",
    "plugins": ["methods/mine.py"],
    "data": {"dataset": "scenes", "scenes": {"train_images": 2, "val_images": 2, "height": 32, "width": 64}},
    "backbones": [
        {
            "name": "nano",
            "architecture": "vit_tiny_patch16_224",
            "options": {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2},
        }
    ],
    "heads": {"blocks": [3]},
    "training": {"recipes": []},
    "sweep": [{"strategy": "token-norm", "schedules": ["2:0.5"]}],
    "throughput": {"batches": [1], "images": 2, "rounds": 3, "block_seconds": 0.01},
}
TRAINED = {"training": {"recipes": ["dense"], "options": {"crop": [32, 64], "batch": 2, "workers": 0}}}


def run_snakemake(folder: Path, *options: str, **variables: str) -> str:
    command = ["snakemake", "all", "--cores", "1", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "study/experiment.yaml"), *options]
    environment = {key: value for key, value in os.environ.items() if key != "PAUMER_DATA"} | variables
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert finished.returncode == 0, finished.stderr[-5000:]
    return finished.stdout + finished.stderr


def test_an_experiment_runs_a_strategy_from_a_file_beside_it(tmp_path: Path) -> None:
    method = tmp_path / "study/methods/mine.py"
    method.parent.mkdir(parents=True)
    method.write_bytes(FILE.read_bytes())
    (tmp_path / "study/experiment.yaml").write_text(yaml.safe_dump(SPEED), encoding="utf-8")
    run_snakemake(tmp_path)
    results = tmp_path / "results/outside"
    for table in ("flops.csv", "throughput.csv", "tables/speed.csv"):
        assert "token-norm" in set(pd.read_csv(results / table)["strategy"]), table
    for record in ("machine.json", "flops.json"):
        assert '"mine.py": "sha256 ' in (results / record).read_text(encoding="utf-8"), record
    assert "Nothing to be done" in run_snakemake(tmp_path, "--dry-run")
    method.write_text(f"{method.read_text(encoding='utf-8')}\n# another method\n", encoding="utf-8")
    planned = run_snakemake(tmp_path, "--dry-run")
    assert re.search(r"^flops +1$", planned, re.MULTILINE) and re.search(r"^throughput +1$", planned, re.MULTILINE)
    assert not re.search(r"^data +1$", planned, re.MULTILINE)


@pytest.mark.exhaustive
def test_an_installed_package_is_checked_trained_with_and_reported(tmp_path: Path) -> None:
    """pip installs the example into a folder of its own; nothing names a file."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(EXAMPLE)], check=True, cwd=tmp_path)
    path = os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)])
    environment = os.environ | {"PYTHONPATH": path}
    checked = subprocess.run(["paumer", "check", "token-norm"], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "study").mkdir()
    content = {key: value for key, value in SPEED.items() if key != "plugins"} | TRAINED
    (tmp_path / "study/experiment.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    run_snakemake(tmp_path, PYTHONPATH=path)
    results = tmp_path / "results/outside"
    for table in ("accuracy.csv", "tables/main.csv", "tables/methods.csv"):
        assert "token-norm" in (results / table).read_text(encoding="utf-8"), table
    assert '"paumer-token-norm": "0.1.0 sha256 ' in (results / "machine.json").read_text(encoding="utf-8")
    assert "token-norm" in (results / "report.html").read_text(encoding="utf-8")
