"""What should I use? The headline table, and the sentences that say it."""

import pandas as pd
import pytest

from paumer.reporting.sheets import NOT_TIMED, with_seeds
from paumer.reporting.tables.headline import (
    CHOSEN,
    HEADINGS,
    NOT_REACHED,
    SPEEDUPS,
    best_points,
    findings,
    headline_notes,
    headline_sheet,
    paragraph,
)
from paumer.reporting.tables.methods import CLAIM, PAUMER, WORDS, family, family_points, read_claims
from paumer.strategies.registry import REGISTRY, SMALLER_BACKBONE

BATCH = {"tiny": 8, "small": 1}


def changed(main, values, **wanted):
    """The main table with other values where columns have these."""
    rows = (main[list(wanted)] == list(wanted.values())).all(axis=1)
    return main.assign(**{name: main[name].mask(rows, value) for name, value in values.items()})


def sheet_rows(main, reported):
    claims = read_claims(reported.measured.published)
    return {(row[0], row[1]): row for row in headline_sheet(main, claims).rows}


def test_every_registered_strategy_has_words():
    assert set(WORDS) == {*REGISTRY, SMALLER_BACKBONE}


@pytest.mark.parametrize(
    ("strategy", "criterion", "name"),
    [
        ("pause", "entropy", PAUMER),
        ("pause", "smoothed", "pausing by another criterion"),
        ("local-merge", "", "merging"),
        ("adaptive-exit", "entropy", "early exit"),
        ("merge>pause", "entropy", "merging + pausing"),
        ("a-strategy-of-mine", "", "a-strategy-of-mine"),
    ],
)
def test_families_have_names_that_need_no_glossary(strategy, criterion, name):
    assert family(strategy, criterion) == name


def test_controls_and_dense_are_no_methods(main):
    points = family_points(main)
    assert {"random", "oracle"} <= set(main["criterion"])
    assert not {"random", "oracle"} & set(points["criterion"])
    assert "dense" not in set(points["strategy"])
    assert not points.loc[points["strategy"].isin(["pause", "merge>pause"]), "rival"].any()
    assert points.loc[~points["strategy"].isin(["pause", "merge>pause"]), "rival"].all()


@pytest.mark.parametrize("asked", SPEEDUPS)
def test_best_points_agree_with_brute_force(main, asked):
    found = best_points(family_points(main), asked).set_index(["backbone", "family"])
    expected = {}
    for row in main.to_dict("records"):
        method = row["strategy"] != "dense" and row["criterion"] not in ("random", "oracle")
        if method and row["batch"] == BATCH[row["backbone"]] and row["speedup"] >= asked:
            key = row["backbone"], family(row["strategy"], row["criterion"])
            expected[key] = min(expected.get(key, (1e9,)), (row["drop"], -row["speedup"], row["schedule"]))
    assert set(found.index) == set(expected)
    for key, (drop, speedup, schedule) in expected.items():
        assert found.loc[key, ["drop", "speedup", "schedule"]].tolist() == [drop, -speedup, schedule]


def test_headline_has_seven_columns_and_a_row_for_each_family(main, reported):
    table = pd.read_csv(reported.tables / "headline.csv", keep_default_na=False)
    assert list(table.columns) == HEADINGS and len(HEADINGS) == len(set(HEADINGS)) <= 7
    points = family_points(main)
    for backbone, rows in table[table["backbone"] != "another"].groupby("backbone"):
        assert rows["method"].iloc[0].startswith("dense network (mIoU ")
        assert set(rows["method"].iloc[1:]) == set(points.loc[points["backbone"] == backbone, "family"])
        drops = pd.to_numeric(rows.iloc[1:, 2].str.split(" ").str[0], errors="coerce").dropna()
        assert drops.is_monotonic_increasing
        assert rows.iloc[1 + len(drops) :, 2].eq(NOT_REACHED).all()
    claims = table[table["backbone"] == "another"]
    assert list(claims["method"]) == ["claim of the abstract, cityscapes", "claim of the abstract, ade20k"]
    assert list(claims.iloc[:, 2].astype(float)) == [0.65, 4.6]


def test_cells_are_those_of_the_best_points(main, reported):
    best = best_points(family_points(main), 1.5).set_index(["backbone", "family"]).loc[("tiny", PAUMER)]
    rows = sheet_rows(main, reported)
    speedup = f"{best['speedup']:.2f} [{best['speedup_low']:.2f}, {best['speedup_high']:.2f}]"
    assert rows["tiny", PAUMER][2:] == [
        *(with_seeds(best["drop"], best["drop_spread"], 2), speedup),
        *(NOT_REACHED, "at most 1.68", f"paumer/pause/entropy {best['schedule']}"),
    ]
    assert rows["tiny", "smaller input"][6] == "dense/resize scale:0.75; at >= 2x: dense/resize scale:0.5"
    assert rows["tiny", "smaller network"][6] == "dense/smaller-backbone nano"


def test_what_was_not_timed_is_called_so(main, reported):
    untimed = changed(main, {"speedup": float("nan")}, strategy="token-exit", batch=8)
    assert sheet_rows(untimed, reported)["tiny", "token exits"][2:] == [NOT_TIMED, "", NOT_TIMED, "", ""]


def test_markdown_opens_with_the_sentences_and_counts_the_warnings(main, reported):
    text = (reported.tables / "headline.md").read_text()
    opening = text.split("\n\n| backbone")[0]
    reason = (
        "Of the 1.30 points that pausing at 3:0.4 takes from the network itself, 0.25 are lost in the patches that "
        "pause and 1.00 in those that run on without seeing them."
    )
    assert opening == paragraph(findings(main, dict.fromkeys(main["backbone"], reason)))
    [note] = [note for note in headline_notes(main) if note.startswith(CHOSEN)]
    counts = family_points(main).groupby("family").size()
    assert all(f"{name} {count}" in note for name, count in counts.items()) and note in text
    assert "4 warnings about the noise of timings; main.md has them." in text
    assert "Too noisy" not in text


def test_a_missed_claim_is_said_with_what_is_missing(main):
    first, claim = findings(main)["tiny"]
    best = best_points(family_points(main), 1.5).set_index(["backbone", "family"]).loc["tiny"]
    ours = best.loc[PAUMER]
    assert f"PAUMER loses {with_seeds(ours['drop'], ours['drop_spread'], 2)} points of mIoU" in first
    assert f"(schedule {ours['schedule']}, {ours['speedup']:.2f}x)" in first
    rival = best[best["rival"]].iloc[0]
    assert f"the best rival, {rival.name}, loses {rival['drop']:.2f}" in first
    assert f"is missed by {ours['drop'] - CLAIM.drop:.2f} points: within that drop PAUMER reaches" in claim
    within = main[(main["strategy"] == "pause") & (main["criterion"] == "entropy") & (main["drop"] <= CLAIM.drop)]
    fastest = within.loc[within[(within["backbone"] == "tiny") & (within["batch"] == 8)]["speedup"].idxmax()]
    assert claim.endswith(f"{fastest['speedup']:.2f}x ({fastest['schedule']}).")


def test_a_claim_that_is_met_is_said_with_what_is_to_spare(main):
    met = changed(main, {"drop": 0.4}, backbone="tiny", strategy="pause", criterion="entropy", schedule="3:0.3+6:0.3")
    assert "is met with 0.25 points to spare." in findings(met)["tiny"][1]
    gained = changed(met, {"drop": -0.2}, strategy="pause", criterion="entropy", schedule="3:0.3+6:0.3")
    assert "PAUMER gains 0.20" in findings(gained)["tiny"][0]


def test_a_better_rival_and_one_that_is_too_slow_are_called_so(main):
    better = changed(main, {"drop": 0.1}, backbone="tiny", strategy="resize", schedule="scale:0.75")
    assert "the best rival, smaller input, loses less: 0.10" in findings(better)["tiny"][0]
    alone = main[main["strategy"].isin(["dense", "pause", "merge"])]
    assert findings(alone)["tiny"][0].endswith("; no rival is that fast.")


def test_a_lone_backbone_is_asked_about_both_speedups(main):
    [*_, last] = findings(main[main["backbone"] == "tiny"])["tiny"]
    assert last.startswith("At 2 times the images/s of dense, PAUMER is not that fast (at most 1.68x); the")


@pytest.mark.parametrize(
    ("strategies", "said"),
    [
        (["dense"], "No method was timed beside the dense network."),
        (["dense", "merge"], "At 1.5 times the images/s of dense, no method is that fast."),
        (["dense", "early-exit"], "At 1.5 times the images/s of dense, the best method, early exit, loses"),
    ],
)
def test_without_paumer_the_sentences_are_of_the_others(main, strategies, said):
    found = findings(main[main["strategy"].isin(strategies) & (main["backbone"] == "tiny")])
    assert found["tiny"][0].startswith(said)
    assert not any("target" in sentence for sentence in found["tiny"])
