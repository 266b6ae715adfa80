"""The paper's tables: two experiments side by side, beside the claims, with what had to be chosen."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic import BACKBONES

from paumer.config.experiment import Experiment
from paumer.reporting.tables.choices import AS_SEGMENTER, NOT_AS_SEGMENTER, OURS, assumptions_table
from paumer.reporting.tables.methods import CLAIM, Claim
from paumer.reporting.tables.paper import Measured, answers_table, dense_table, write_paper
from paumer.system.errors import PaumerError

REPOSITORY = Path(__file__).parents[2]
SEGMENTER = REPOSITORY / "results/reference/segmenter.yaml"
PUBLISHED = REPOSITORY / "results/reference/published.csv"


def experiment(dataset: str, **changes) -> Experiment:
    backbones = [{"name": name, "architecture": f"{name}.some_weights"} for name in BACKBONES]
    return Experiment.model_validate({"data": {"dataset": dataset}, "backbones": backbones} | changes)


@pytest.fixture
def written(reported, tmp_path: Path) -> Path:
    table = reported.tables / "main.csv"
    both = [experiment("cityscapes"), experiment("ade20k")]
    write_paper(both, [table, table], reported.measured.published, SEGMENTER, tmp_path)
    return tmp_path


def test_each_dataset_is_asked_about_its_own_claim(written: Path) -> None:
    table = pd.read_csv(written / "methods.csv", keep_default_na=False, na_values=[""])
    for dataset, drop in (("cityscapes", 0.65), ("ade20k", 4.6)):
        rows = table[table["dataset"] == dataset]
        assert (rows["fastest_drop"].dropna() <= drop).all()
        assert ((rows["most_accurate_drop"] <= drop) == (rows["reached"] == "yes")).all()
    count = table.groupby("dataset")["reached"].apply(lambda column: (column == "yes").sum())
    assert count["ade20k"] > count["cityscapes"]  # the same numbers: more points drop at most 4.6
    claims = pd.read_csv(written / "claims.csv")
    assert set(claims["method"]) == {"paumer/pause/entropy"} and len(claims) == 2 * len(BACKBONES)


def test_nothing_timed_is_neither_reached_nor_missed(main: pd.DataFrame) -> None:
    main.loc[main["recipe"] == "paumer", ["speedup", "speedup_low", "speedup_high"]] = float("nan")
    table = answers_table(Measured(experiment("cityscapes"), main, Claim("cityscapes", 0.65, 1.5)))
    assert set(table.loc[table["method"].str.startswith("paumer/pause"), "reached"]) == {"not timed"}


def test_dense_networks_stand_beside_figures_of_their_architecture_and_decoder(reported, main: pd.DataFrame) -> None:
    own = experiment(
        "ade20k",
        backbones=[
            {"name": "tiny", "architecture": "tiny.some"},
            {"name": "small", "architecture": "tiny.some", "decoder": {"name": "mask_transformer"}},
        ],
    )
    table = dense_table([Measured(own, main, CLAIM)], reported.measured.published)
    assert list(table["decoder"]) == ["linear", "mask_transformer"]
    assert list(table["published"]) == [45.3, 45.3]
    assert table["difference"].tolist() == pytest.approx((table["miou"] - 45.3).tolist(), abs=1e-4)
    other = dense_table([Measured(experiment("cityscapes"), main, CLAIM)], reported.measured.published)
    assert other["published"].isna().all() and len(other) == len(BACKBONES)


def test_a_dataset_without_a_claim_is_refused(reported, tmp_path: Path) -> None:
    with pytest.raises(PaumerError, match="camvid; compare experiments on cityscapes, ade20k"):
        table = reported.tables / "main.csv"
        write_paper([experiment("camvid")], [table], reported.measured.published, SEGMENTER, tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_choice_says_whose_it_is() -> None:
    options = {"crop": [768, 768], "batch": 16, "drop_path": 0.1}
    training = {"options": options, "recipes": ["dense"], "shared_phase": {"epochs": 216}}
    own = {"name": "tiny", "heads": {"blocks": [3], "weight": 0.3}}
    table = assumptions_table(
        experiment("cityscapes", training=training, backbones=[own], heads={"blocks": [3]}), SEGMENTER
    ).set_index("key")
    assert table.loc["training.options.crop"].tolist() == ["768, 768", "768, 768", AS_SEGMENTER]
    assert table.loc["training.shared_phase.epochs", "choice"] == AS_SEGMENTER
    assert table.loc["training.options.batch"].tolist() == ["16", "8", NOT_AS_SEGMENTER]
    assert table.loc["heads.weight"].tolist() == ["0.4", "", OURS]
    assert table.loc["backbones.tiny.heads.weight"].tolist() == ["0.3", "", OURS]
    assert table.loc["training.shared_phase.clip"].tolist() == ["1", "0", NOT_AS_SEGMENTER]
    assert table.index.is_unique
    without = assumptions_table(experiment("cityscapes"), SEGMENTER).set_index("key")
    assert without.loc["training.shared_phase.clip"].tolist() == ["none", "0", NOT_AS_SEGMENTER]


def test_a_published_setting_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "segmenter.yaml"
    path.write_text("cityscapes: {training: {optins: {crop: [1, 1]}}}")
    with pytest.raises(PaumerError, match=r"segmenter.yaml, cityscapes: unknown key 'training.optins'"):
        assumptions_table(experiment("cityscapes"), path)


@pytest.mark.parametrize("dataset", ["cityscapes", "ade20k"])
def test_the_experiments_train_and_evaluate_as_segmenter(dataset: str) -> None:
    path = REPOSITORY / f"workflow/experiments/{dataset}.yaml"
    table = assumptions_table(Experiment.model_validate(yaml.safe_load(path.read_text())), SEGMENTER)
    assert (table["choice"] == AS_SEGMENTER).sum() > 15
    assert table.loc[table["choice"] == NOT_AS_SEGMENTER, "key"].tolist() == []


@pytest.mark.parametrize("dataset", ["cityscapes", "ade20k"])
def test_the_experiments_name_networks_with_published_figures(dataset: str) -> None:
    path = REPOSITORY / f"workflow/experiments/{dataset}.yaml"
    own = Experiment.model_validate(yaml.safe_load(path.read_text()))
    theirs = pd.read_csv(PUBLISHED)
    known = set(theirs.loc[theirs["dataset"] == dataset, "backbone"].dropna())
    names = {backbone.architecture.split(".")[0] for backbone in own.backbones}
    assert {name.replace("tiny", "").replace("small", "").replace("base", "") for name in names} == {"vit__patch16_384"}
    assert len(names & known) >= 2
