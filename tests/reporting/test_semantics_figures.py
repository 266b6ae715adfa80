"""Figures and sentences on what heads are certain of."""

import pandas as pd
import pytest
from synthetic import CLASSES, FRACTIONS, HEADS, write_semantics

from paumer.reporting.figures import semantics as plots_semantics
from paumer.reporting.figures.drawing import save
from paumer.reporting.figures.points import SEMANTICS, read_semantics
from paumer.reporting.page.semantics import semantic_findings as findings
from paumer.reporting.reading import read_table
from paumer.system.errors import PaumerError

FIGURES = ["composition", "uniform", "boundary", "correlation"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_its_files_and_both_backbones(reported, name):
    for ending in ("png", "csv"):
        assert (reported.figures / f"semantics_{name}.{ending}").stat().st_size > 100
    drawn = pd.read_csv(reported.figures / f"semantics_{name}.csv")
    assert list(drawn["backbone"].unique()) == ["tiny", "small"]
    assert set(drawn["block"]) == set(HEADS)


def test_values_are_means_over_the_seeds_with_their_spread(measured):
    table = read_semantics(measured.semantics, "correlation")
    runs = [pd.read_csv(folder / "correlation.csv") for folder in measured.semantics if "tiny" in folder.parts]
    at = {"block": 6, "criterion": "entropy", "target": "gain"}
    values = pd.concat([run[(run[list(at)] == list(at.values())).all(axis=1)] for run in runs])["spearman"]
    row = table[(table[["backbone", *at]] == ["tiny", *at.values()]).all(axis=1)].iloc[0]
    assert (row["seeds"], len(values)) == (2, 2)
    assert row["spearman"] == pytest.approx(values.mean())
    assert row["spearman_spread"] == pytest.approx(values.std())


def test_composition_shows_every_class_at_the_middle_fraction(reported):
    drawn = pd.read_csv(reported.figures / "semantics_composition.csv")
    assert set(drawn["fraction"]) == {FRACTIONS[1]}
    assert set(drawn["class"]) == set(CLASSES)
    assert set(drawn["criterion"]) == {"entropy"}
    totals = drawn.groupby(["backbone", "block"])[["share", "share_of_paused"]].sum()
    assert (totals - 1).abs().max(axis=None) < 1e-3


def test_random_pausing_is_drawn_beside_entropy(reported):
    drawn = pd.read_csv(reported.figures / "semantics_uniform.csv")
    assert set(drawn["criterion"]) == {"entropy", "random"}
    assert set(drawn["group"]) == {"all", "paused", "running"}
    assert set(drawn["fraction"]) == set(FRACTIONS)


@pytest.mark.parametrize("name", FIGURES)
def test_sentences_say_what_is_drawn(reported, name):
    drawn = read_table(reported.figures / f"semantics_{name}.csv", SEMANTICS)
    sentences = findings(drawn, f"semantics_{name}")
    assert [sentence.split(":")[0] for sentence in sentences] == ["tiny", "small"]
    page = reported.page.read_text(encoding="utf-8").replace("&#39;", "'")
    assert all(sentence in page for sentence in sentences)
    assert not any("nan" in sentence or "  " in sentence for sentence in sentences)


def test_sentences_turn_with_the_numbers(tmp_path):
    """Entropy that is high near boundaries, and its opposite."""
    write_semantics(tmp_path, "net", 0, noise=0)
    aligned = sentences([tmp_path])
    edit(tmp_path / "groups.csv", group=lambda column: column.replace({"paused": "running", "running": "paused"}))
    edit(tmp_path / "correlation.csv", spearman=lambda column: -column)
    opposite = sentences([tmp_path])
    assert "more than among random ones" in aligned["uniform"]
    assert "fewer than among random ones" in opposite["uniform"]
    assert "correlation of entropy is 0.97 with the head's error" in aligned["correlation"]  # where it is 0, ties
    assert aligned["correlation"].endswith("AUROC of 1.00.")
    assert "correlation of entropy is -0.97 with the head's error" in opposite["correlation"]
    assert f"show mostly {CLASSES[-1]} do" in aligned["composition"]


def edit(path, **changes):
    """Change columns of a CSV file in place."""
    table = pd.read_csv(path)
    table.assign(**{name: change(table[name]) for name, change in changes.items()}).to_csv(path, index=False)


def sentences(folders):
    drawn = {name: getattr(plots_semantics, name)(folders)[1] for name in FIGURES}
    return {name: findings(data, f"semantics_{name}")[0] for name, data in drawn.items()}


def test_one_class_without_boundaries_is_drawn_and_said(tmp_path):
    write_semantics(tmp_path, "net", 0, classes=["sky"])
    boundary = tmp_path / "boundary.csv"
    pd.read_csv(boundary)[:0].to_csv(boundary, index=False)
    edit(tmp_path / "groups.csv", distance=lambda column: column * float("nan"))
    edit(tmp_path / "correlation.csv", spearman=lambda column: column * float("nan"))
    said = sentences([tmp_path])
    assert "nearly all patches are sky" in said["composition"]
    assert "no image has a boundary" in said["boundary"]
    assert "undefined with the head's error" in said["correlation"]
    for name in FIGURES:
        save(*getattr(plots_semantics, name)([tmp_path]), tmp_path, name)
        assert (tmp_path / f"{name}.png").stat().st_size > 100


def test_a_run_that_is_named_twice_is_refused(measured):
    with pytest.raises(PaumerError, match="more than one row"):
        read_semantics([measured.semantics[0], measured.semantics[0]], "groups")
