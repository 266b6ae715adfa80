"""The main table, the tables of methods, classes and drops, the warnings about noise, and collecting rows."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from paumer.reporting.frames import at_largest_batch, operating_points, read_main
from paumer.reporting.sheets import with_seeds
from paumer.reporting.tables.drops import DROPS
from paumer.reporting.tables.main import main_table
from paumer.reporting.tables.methods import methods_table
from paumer.reporting.tables.noise import noise_warnings, quiet
from paumer.reporting.tables.speed import write_speed
from paumer.reporting.tables.write import collect
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.system.errors import PaumerError

MEASURES = ["images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "floor_low", "floor_high"]
KEY = ["backbone", "recipe", "strategy", "criterion", "schedule"]
DENSE = ("dense", "dense", "", "dense")


def point(table, *key, batch=1):
    found = table[(table[[*KEY, "batch"]] == [*key, batch]).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def seeds_of(accuracy, *key):
    return accuracy[(accuracy[KEY] == list(key)).all(axis=1)].set_index("seed")


def test_one_row_per_operating_point_and_batch(main, wide, accuracy):
    points = operating_points(main)
    assert len(points) == len(wide) == len(accuracy[KEY].drop_duplicates())
    assert not main.duplicated([*KEY, "batch"]).any() and len(main) == 2 * len(points)
    assert set(main["seeds"]) == {2}


@pytest.mark.parametrize("criterion", ["entropy", "random"])
def test_drop_is_counted_from_dense_of_the_same_seed(main, accuracy, criterion):
    key = ("tiny", "paumer", "pause", criterion, "3:0.2+6:0.2")
    paused, dense = seeds_of(accuracy, *key)["miou"], seeds_of(accuracy, "tiny", *DENSE)["miou"]
    row = point(main, *key)
    for name, values in (("miou", paused), ("drop", dense - paused)):
        assert row[name] == pytest.approx(values.mean(), abs=1e-4)
        assert row[f"{name}_spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
    assert point(main, "tiny", *DENSE)["drop"] == 0 != point(main, "tiny", "paumer", *DENSE[1:])["drop"]


def test_one_seed_has_no_spread(measured):
    first = [path for path in measured.accuracy if path.parent.name == "seed0"]
    main = main_table(first, measured.flops, measured.throughput)
    assert main[["miou_spread", "drop_spread"]].isna().all(axis=None)
    assert set(main["seeds"]) == {1}


def test_speed_is_that_of_the_first_setting(main, reported):
    timed = pd.read_csv(reported.measured.throughput)
    named = (timed["backbone"] == "tiny") & (timed["strategy"] == "pause") & (timed["schedule"] == "3:0.4")
    first = (timed[["dtype", "mode", "scope", "height"]] == ["float32", "eager", "logits", 96]).all(axis=1)
    wanted = timed[named & first].set_index("batch")
    for batch in (1, 8):
        row = point(main, "tiny", "paumer", "pause", "entropy", "3:0.4", batch=batch)
        assert row[MEASURES].tolist() == pytest.approx(wanted.loc[batch, MEASURES].tolist(), abs=1e-4)
    chosen = in_first_setting(read_throughput(reported.measured.throughput))
    for column, value in (("dtype", "bfloat16"), ("mode", "compile"), ("scope", "labels")):
        assert value in set(timed[column]) - set(chosen[column])
    assert {(row.backbone, row.height, row.width) for row in chosen.itertuples()} == {
        *(("tiny", 96, 192), ("small", 128, 256))
    }


def test_gmac_is_that_of_the_first_size(main, reported):
    counted = pd.read_csv(reported.measured.flops)
    sizes = counted[(counted["backbone"] == "tiny") & (counted["schedule"] == "3:0.4")].set_index("height")
    gmac = point(main, "tiny", "paumer", "pause", "entropy", "3:0.4")["gmac"]
    assert gmac == pytest.approx(sizes.loc[96, "gmac_total"], abs=1e-4)
    assert gmac == pytest.approx(4 * sizes.loc[48, "gmac_total"], abs=1e-3)


def test_largest_batch_is_the_last_at_which_dense_fits(main):
    found = at_largest_batch(main).groupby("backbone")["batch"].unique()
    assert {name: list(values) for name, values in found.items()} == {"tiny": [8], "small": [1]}
    with pytest.raises(PaumerError, match="dense small never fitted"):
        at_largest_batch(main.assign(images_per_s=main["images_per_s"].where(main["backbone"] == "tiny")))


def test_main_csv_without_a_column_of_a_batch_is_refused(wide, tmp_path):
    wide.drop(columns="floor_low_b8").to_csv(tmp_path / "main.csv", index=False)
    with pytest.raises(PaumerError, match=r"main\.csv: column 'floor_low_b8' is missing"):
        read_main(tmp_path / "main.csv")


def test_methods_agree_with_brute_force(main):
    table = methods_table(main).set_index(["backbone", "method"]).sort_index()
    batch = {"tiny": 8, "small": 1}
    for backbone, (recipe, strategy, criterion) in product(
        batch, main[["recipe", "strategy", "criterion"]].drop_duplicates().itertuples(index=False)
    ):
        method = "/".join(filter(None, (recipe, strategy, criterion)))
        if strategy == "dense" or criterion == "oracle":
            assert (backbone, method) not in table.index
            continue
        wanted = [backbone, recipe, strategy, criterion, batch[backbone]]
        rows = main[(main[[*KEY[:4], "batch"]] == wanted).all(axis=1)].to_dict("records")
        within = max((row for row in rows if row["drop"] <= 0.65), key=lambda row: row["speedup"], default=None)
        fast = min((row for row in rows if row["speedup"] >= 1.5), key=lambda row: row["drop"], default=None)
        for question, best in (("fastest", within), ("most_accurate", fast)):
            found = table.loc[(backbone, method)]
            assert found[f"{question}_schedule"] == ("none" if best is None else best["schedule"])
            for name in ("speedup", "drop") if best else ():
                assert found[f"{question}_{name}"] == best[name]


def test_methods_end_with_the_published_claims(reported):
    table = pd.read_csv(reported.tables / "methods.csv", keep_default_na=False)
    claims = table[table["method"] == "published claim"]
    assert list(claims.index) == [len(table) - 2, len(table) - 1]
    assert list(claims["backbone"]) == ["cityscapes", "ade20k"]
    assert list(claims["most_accurate_drop"].astype(float)) == [0.65, 4.6]
    assert list(claims["fastest_schedule"]) == ["not stated", "none"]
    assert claims["remark"].str.contains("other data and devices").all()


def test_warnings_name_batch_and_group(reported):
    timings = read_throughput(reported.measured.throughput)
    everywhere, shown = noise_warnings(timings), noise_warnings(in_first_setting(timings))
    noisy = [warning for warning in everywhere if "1.050 [1.030, 1.070]" in warning]
    # At both sizes of tiny: batch 8, in four settings. Of tiny and small: paumer's own group at batch 1, in three.
    assert set(shown) < set(everywhere) and len(set(noisy)) == len(noisy) == 2 * 4 + 3 * 3
    for found in (
        "tiny, 96 x 192 pixels, batch 8 (float32, eager, logits; fixed cost)",
        "small, 128 x 256 pixels, batch 1 (float32, eager, logits; paumer, cost by image)",
        "0.8 processors busy while tiny, 96 x 192 pixels, batch 8 (float32, eager, logits; multi-exit, cost by image)",
    ):
        assert sum(found in warning for warning in shown) == 1
        for name in ("main.md", "methods.md", "main.tex", "speed.md"):
            assert found in (reported.tables / name).read_text()
    for found in ("float32, compile", "eager, labels", "bfloat16", "48 x 96"):
        assert any(found in warning for warning in noisy) and not any(found in warning for warning in shown)


@pytest.mark.parametrize(
    ("speedup", "low", "high", "verdict"),
    [
        (1.0, 0.98, 1.02, True),
        (1.019, 0.995, 1.04, True),
        (1.021, 0.995, 1.04, False),  # far off
        (1.0, 0.97, 1.03, False),  # holds 1, as any wide interval does
        (1.01, 1.005, 1.015, False),  # leaves out 1
        (float("nan"), float("nan"), float("nan"), False),
    ],
)
def test_quiet_takes_a_narrow_interval_around_one(speedup, low, high, verdict):
    assert quiet(pd.DataFrame({"speedup": [speedup], "speedup_low": [low], "speedup_high": [high]})).tolist() == [
        verdict
    ]


@pytest.mark.parametrize("changed", [{"other_load": "0.5"}, {"rounds": "7"}])
def test_what_was_timed_in_another_run_is_marked_and_placed_by_its_speedup(measured, edit, reported, main, changed):
    """Rows that somebody appends to throughput.csv from a run in which the machine was slower."""

    def append(table):
        stranger = (table["strategy"] == "early-exit") & (table["schedule"] == "exit:6") & (table["speedup"] != "")
        slower = {"images_per_s": table["images_per_s"].map(lambda text: str(0.7 * float(text)) if text else "")}
        return table.assign(**{name: table[name].mask(stranger, value) for name, value in (slower | changed).items()})

    edit(measured.throughput, append)
    found = main_table(measured.accuracy, measured.flops, measured.throughput)
    pd.testing.assert_frame_equal(found[main.columns], main, rtol=1e-3)
    warnings = noise_warnings(in_first_setting(read_throughput(measured.throughput)))
    assert any("Timed in another run: strategy early-exit, schedule exit:6 (tiny" in warning for warning in warnings)
    assert noise_warnings(in_first_setting(read_throughput(reported.measured.throughput))) == [
        warning for warning in warnings if "another run" not in warning
    ]


def test_class_table_has_dense_and_each_method_once(reported, accuracy):
    table = pd.read_csv(reported.tables / "classes.csv", keep_default_na=False)
    assert "train" not in set(table["class"])  # absent from the split
    points = table[table["backbone"] == "tiny"].drop_duplicates(KEY)
    assert (points["strategy"] == "dense").sum() == 1
    assert not points.duplicated(["recipe", "strategy", "criterion"]).any()
    paused = points[(points["recipe"] == "paumer") & (points["strategy"] == "pause")]
    assert paused["schedule"].nunique() == 1  # criteria are compared at the same schedule
    row = table[(table["recipe"] == "paumer") & (table["class"] == "pole")].iloc[0]
    own, dense = (seeds_of(accuracy, *key)["iou_pole"].mean() for key in (row[KEY], (row["backbone"], *DENSE)))
    assert row["drop"] == pytest.approx(dense - own, abs=1e-4)


def test_drop_is_shown_without_the_hardest_class_and_for_pixels(reported, accuracy):
    """The hardest class is that of the lowest IoU of dense; its gain may hide what the others lose."""
    table = pd.read_csv(reported.tables / "drops.csv", keep_default_na=False)
    assert list(table.columns) == DROPS
    row = table[(table["backbone"] == "tiny") & (table["recipe"] == "paumer") & (table["strategy"] == "pause")].iloc[0]
    found = table[(table[KEY] == row[KEY]).all(axis=1)].set_index("measure")
    paused, dense = seeds_of(accuracy, *row[KEY]), seeds_of(accuracy, row["backbone"], *DENSE)
    classes = [name for name in dense if name.startswith("iou_") and pd.to_numeric(dense[name]).notna().all()]
    hardest = dense[classes].mean().idxmin()
    others = [name for name in classes if name != hardest]
    names = {"mIoU": ["miou"], f"mIoU without {hardest.removeprefix('iou_')}": others}
    names |= {"pixel accuracy": ["pixel_accuracy"]}
    names |= {name.removeprefix("iou_"): [name] for name in dense[classes].mean().sort_values().index}
    assert list(found.index) == list(names)
    for measure, columns in names.items():
        drops = dense[columns].mean(axis=1) - paused[columns].mean(axis=1)
        assert found.loc[measure, ["drop", "drop_spread"]].tolist() == pytest.approx(
            [drops.mean(), drops.std()], abs=1e-4
        )
    text = (reported.tables / "drops.md").read_text()
    assert with_seeds(found.loc["mIoU", "drop"], found.loc["mIoU", "drop_spread"], 2) in text


def test_drops_are_of_the_points_in_the_headline(reported, main):
    table = pd.read_csv(reported.tables / "drops.csv", keep_default_na=False)
    shown = table[KEY].drop_duplicates()
    headline = (reported.tables / "headline.md").read_text()
    for row in shown[shown["strategy"] != "dense"].to_dict("records"):
        assert f"{row['strategy']}{'/' * bool(row['criterion'])}{row['criterion']} {row['schedule']}" in headline
    assert set(shown.loc[shown["strategy"] == "dense", "recipe"]) == set(main["recipe"]) - {"dense"}


def test_bounds_stand_beside_dense(reported, wide):
    table = pd.read_csv(reported.tables / "bounds.csv").set_index("backbone")
    assert table.loc["tiny"].tolist() == [point(wide.assign(batch=1), "tiny", *DENSE)["miou"], 88.25, 21.5]
    assert "88.25" in (reported.tables / "bounds.md").read_text()


def test_tables_are_the_same_bytes_twice(reported, run_tables, tmp_path):
    measured = replace(reported.measured, accuracy=reported.measured.accuracy[::-1])
    run_tables(measured, tmp_path / "tables")
    write_speed(measured.flops, measured.throughput, tmp_path / "tables")
    written = {path.name: path.read_bytes() for path in reported.tables.iterdir() if path.stem != "equal_speed"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == written


def test_collect_keeps_every_cell(tmp_path):
    (tmp_path / "a.csv").write_text("schedule,criterion,miou\n3:0.20,,1.50\n")
    (tmp_path / "b.csv").write_text("schedule,criterion,miou,extra\ndense,NA,2,x\n")
    collect([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text() == "schedule,criterion,miou,extra\n3:0.20,,1.50,\ndense,NA,2,x\n"


@pytest.mark.parametrize(
    ("name", "keep", "culprit"),
    [
        (
            "throughput",
            lambda table: table[(table["recipe"] != "paumer") | (table["strategy"] == "dense")],
            "throughput.csv, batch 1.*recipe paumer, strategy adaptive-exit, criterion entropy, schedule 3@0.9",
        ),
        ("throughput", lambda table: pd.concat([table, table]), "throughput.csv, batch 1: more than one row"),
        ("throughput", lambda table: table.drop(columns="speedup"), "throughput.csv: column 'speedup' is missing"),
        ("throughput", lambda table: table.assign(speedup="fast"), "csv: column 'speedup' must hold numbers"),
        ("flops", lambda table: pd.concat([table, table]), "more than one row for backbone tiny"),
    ],
)
def test_missing_measurements_name_the_culprit(measured, edit, name, keep, culprit):
    edit(getattr(measured, name), keep)
    with pytest.raises(PaumerError, match=culprit) as error:
        main_table(measured.accuracy, measured.flops, measured.throughput)
    assert "\n" not in str(error.value)


def test_runs_that_are_missing_or_given_twice_are_named(measured):
    rest = [path for path in measured.accuracy if path.parts[-4:-1] != ("tiny", "dense", "seed1")]
    with pytest.raises(PaumerError, match=r"backbone tiny.*seed 1.*train and evaluate recipe dense"):
        main_table(rest, measured.flops, measured.throughput)
    with pytest.raises(PaumerError, match="more than one row"):
        main_table([*measured.accuracy, measured.accuracy[0]], measured.flops, measured.throughput)


def test_nothing_is_written_when_an_input_is_wrong(measured, run_tables, tmp_path):
    with pytest.raises(PaumerError, match="no such file"):
        run_tables(replace(measured, published=tmp_path / "nowhere.csv"), tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
