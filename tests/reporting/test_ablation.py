"""What each part of the method is worth: variants beside the recipe, counted from the same dense networks."""

from pathlib import Path

import pandas as pd
import pytest

from paumer.reporting.tables.ablation import ablation_sheets, ablation_table, write_ablation
from paumer.reporting.writing import markdown
from paumer.system.errors import PaumerError

DENSE = {0: 70.0, 1: 72.0}
MIOU = {"": {"dense": -0.1, "3:0.4": -0.5}, "plain heads": {"dense": -0.2, "3:0.4": -1.5}}
GMAC = {"dense": 10.0, "3:0.4": 6.5}


def row(recipe: str, strategy: str, schedule: str, seed: int, miou: float, criterion: str = "") -> dict:
    common = {"experiment": "x", "backbone": "net", "decoder": "linear", "recipe": recipe, "strategy": strategy}
    costs = {"gmac": GMAC[schedule], "gmac_low": GMAC[schedule], "gmac_high": GMAC[schedule]}
    return common | {"criterion": criterion, "schedule": schedule, "seed": seed, "miou": miou} | costs


def rows_of(variant: str, seed: int) -> list[dict]:
    change = MIOU[variant]
    dense = row("paumer", "dense", "dense", seed, DENSE[seed] + change["dense"])
    return [dense, row("paumer", "pause", "3:0.4", seed, DENSE[seed] + change["3:0.4"], "entropy")]


@pytest.fixture
def accuracy(tmp_path: Path) -> Path:
    rows = [row("dense", "dense", "dense", seed, miou) for seed, miou in DENSE.items()]
    rows += [row("multi-exit", "dense", "dense", seed, 1.0) for seed in DENSE]
    rows += [one for seed in DENSE for one in rows_of("", seed)]
    rows += [row("paumer", "pause", "3:0.4", seed, 3.0, "random") for seed in DENSE]
    pd.DataFrame(rows).to_csv(tmp_path / "accuracy.csv", index=False)
    return tmp_path / "accuracy.csv"


@pytest.fixture
def variants(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{seed}.csv" for seed in DENSE]
    for seed, path in zip(DENSE, paths, strict=True):
        pd.DataFrame(rows_of("plain heads", seed)).assign(variant="plain heads").to_csv(path, index=False)
    return paths


def test_drops_are_counted_from_the_dense_network_of_the_same_seed(accuracy, variants) -> None:
    table = ablation_table(accuracy, variants).set_index(["variant", "schedule"])
    assert list(table.index) == [
        *(("paumer", "dense"), ("paumer", "3:0.4"), ("plain heads", "dense"), ("plain heads", "3:0.4"))
    ]
    assert table["drop"].tolist() == pytest.approx([0.1, 0.5, 0.2, 1.5])
    assert table["drop_spread"].tolist() == pytest.approx([0] * 4)
    assert table["miou"].tolist() == pytest.approx([70.9, 70.5, 70.8, 69.5])
    assert table["gmac_ratio"].tolist() == pytest.approx([1, 10 / 6.5] * 2, abs=1e-4)
    assert table["seeds"].tolist() == [2] * 4


def test_changes_are_counted_over_the_seeds_that_both_have(accuracy, tmp_path) -> None:
    rows = pd.DataFrame([one for seed in DENSE for one in rows_of("plain heads", seed)]).assign(variant="plain heads")
    rows.loc[(rows["seed"] == 1) & (rows["strategy"] == "pause"), "miou"] -= 0.4
    rows.to_csv(tmp_path / "both.csv", index=False)
    both = ablation_table(accuracy, [tmp_path / "both.csv"]).set_index(["variant", "schedule"])
    assert both.loc[("plain heads", "3:0.4"), ["drop", "change", "change_spread"]].tolist() == pytest.approx(
        [1.7, 1.2, 0.2828]
    )
    assert both.loc["paumer", ["change", "change_spread"]].isna().all(axis=None)
    rows[rows["seed"] == 1].to_csv(tmp_path / "one.csv", index=False)
    one = ablation_table(accuracy, [tmp_path / "one.csv"]).set_index(["variant", "schedule"])
    assert one.loc[("plain heads", "3:0.4"), "change"] == pytest.approx(1.4)
    assert pd.isna(one.loc[("plain heads", "3:0.4"), "change_spread"])


def test_compositions_that_pause_last_are_compared(accuracy, tmp_path) -> None:
    point = {"strategy": "resize>pause", "schedule": "scale:0.9>3:0.4", "criterion": "entropy"}
    whole = pd.read_csv(accuracy, keep_default_na=False)
    paused = whole[(whole["recipe"] == "paumer") & (whole["criterion"] == "entropy")].assign(**point)
    pd.concat([whole, paused]).to_csv(accuracy, index=False)
    paused.assign(variant="worse", miou=paused["miou"] - 1).to_csv(tmp_path / "worse.csv", index=False)
    table = ablation_table(accuracy, [tmp_path / "worse.csv"])
    assert table.loc[table["variant"] == "worse", ["strategy", "schedule", "change"]].values.tolist() == [
        ["resize>pause", "scale:0.9>3:0.4", 1.0]
    ]


def test_one_row_a_variant_for_people(accuracy, variants, tmp_path) -> None:
    write_ablation(accuracy, variants, tmp_path / "tables")
    text = (tmp_path / "tables/ablation.md").read_text()
    assert text == markdown(*ablation_sheets(ablation_table(accuracy, variants)))
    assert "|unpaused|3:0.4(1.54)|" in text.replace(" ", "")
    assert "|plainheads|2|0.20(0.10)|1.50(1.00)|" in text.replace(" ", "")
    assert "random" not in text
    assert pd.read_csv(tmp_path / "tables/ablation.csv")["drop"].tolist() == pytest.approx([0.1, 0.5, 0.2, 1.5])


def test_variants_of_nothing_are_refused(tmp_path, variants) -> None:
    pd.DataFrame([row("dense", "dense", "dense", 0, 70.0)]).to_csv(tmp_path / "only.csv", index=False)
    with pytest.raises(PaumerError, match=r"only\.csv: holds no run of recipe paumer"):
        ablation_table(tmp_path / "only.csv", [])
