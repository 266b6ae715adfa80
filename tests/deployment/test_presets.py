"""What is known of a trained network's operating points."""

from pathlib import Path

import pandas as pd
import pytest
from finished_runs import TUNED

from paumer.deployment.presets import Preset, choose_preset, known_presets
from paumer.strategies.registry import operating_point
from paumer.system.errors import PaumerError
from paumer.system.files import write_json

RUN = {"backbone": "net", "recipe": "paumer"}
SPREADS = ("miou_spread", "drop_spread")
INTERVALS = ("speedup_low", "speedup_high", "floor_ratio", "floor_low", "floor_high")


def main_table(rows: list[tuple]) -> pd.DataFrame:
    names = ("backbone", "recipe", "strategy", "criterion", "schedule", "miou", "speedup")
    table = pd.DataFrame(rows, columns=names).assign(seeds=3, gmac=2.0, gmac_low=None, gmac_high=None, gmac_ratio=1.0)
    table = table.assign(drop=60 - table["miou"], **dict.fromkeys(SPREADS, 0.1))
    for batch in (1, 8):
        table[f"images_per_s_b{batch}"] = 10 * batch * table["speedup"]
        table[f"speedup_b{batch}"] = table["speedup"] + (0 if batch == 8 else 5)
        table = table.assign(**{f"{name}_b{batch}": 1.0 for name in INTERVALS})
    return table.drop(columns="speedup")


ROWS = [
    ("net", "dense", "dense", "", "dense", 60.0, 1.0),
    ("net", "paumer", "dense", "", "dense", 59.8, 1.0),
    ("net", "paumer", "pause", "entropy", "3:0.4", 59.5, 1.4),
    ("net", "paumer", "pause", "random", "3:0.4", 59.9, 1.5),
    ("net", "paumer", "pause", "oracle", "3:0.4", 59.9, 1.5),
    ("net", "paumer", "pause", "entropy", "3:0.6", 58.0, 1.8),
    ("net", "paumer", "pause", "entropy", "2:0.6", 57.0, 1.9),
    ("net", "multi-exit", "early-exit", "", "exit:6", 50.0, 2.5),
    ("other", "paumer", "pause", "entropy", "3:0.4", 70.0, 1.9),
    ("other", "dense", "dense", "", "dense", 70.0, 1.0),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of a run in an experiment that has tables."""
    write_json(tmp_path / "data.json", {})
    (tmp_path / "tables").mkdir()
    main_table(ROWS).to_csv(tmp_path / "tables" / "main.csv", index=False)
    write_json(tmp_path / "machine.json", {"environment": {"device": "the machine"}})
    run = tmp_path / "runs" / "net" / "paumer" / "seed0"
    run.mkdir(parents=True)
    return run


def test_tables_tell_of_the_runs_own_points_without_controls(folder) -> None:
    presets = known_presets(folder, RUN)
    assert [preset.schedule for preset in presets] == ["dense", "3:0.4", "3:0.6", "2:0.6"]
    assert {preset.criterion for preset in presets[1:]} == {"entropy"}
    paused = presets[1]
    assert (paused.miou, paused.drop, paused.gmac, paused.batch) == (59.5, 0.5, 2.0, 8)
    assert (paused.speedup, paused.images_per_s) == pytest.approx((1.4, 112.0))
    assert paused.source == "tables of the experiment, the machine"
    assert (paused.point.strategy, paused.point.schedule) == ("pause", "3:0.4")


def test_ablations_are_not_in_the_tables(folder) -> None:
    assert known_presets(folder, RUN | {"variant": "no teacher"}) == []


def test_without_tables_nothing_is_known(tmp_path) -> None:
    assert known_presets(tmp_path, RUN) == []


def test_what_was_tuned_counts_too(folder) -> None:
    write_json(folder / "tune.json", TUNED)
    presets = known_presets(folder, RUN)
    assert [preset.schedule for preset in presets[:2]] == ["2:0.5", "scale:0.8"]
    assert presets[1].point == operating_point("resize", "", "scale:0.8")
    assert presets[0].gmac == pytest.approx(0.5 * 3 * 8)  # of an image of 8 windows
    assert (presets[0].criterion, presets[0].batch, presets[0].speedup) == ("smoothed", 4, 1.6)
    assert presets[0].source == "paumer tune, split train, a device"
    assert choose_preset(presets, 1.5, folder).schedule == "2:0.5"


def test_a_search_that_ended_with_dense_is_known_too(folder) -> None:
    unpaused = {"strategy": "dense", "criterion": "entropy", "schedule": "dense", "speedup": 1.0, "gmac_ratio": 1.0}
    write_json(folder / "tune.json", TUNED | unpaused | {"finalists": []})
    preset = known_presets(folder, RUN)[0]
    assert (preset.strategy, preset.criterion, preset.gmac) == ("dense", "", 3.0 * 8)


def test_another_file_in_the_place_of_a_tuned_one_is_refused(folder) -> None:
    write_json(folder / "tune.json", {"schedule": "3:0.4"})
    with pytest.raises(PaumerError, match=r"tune\.json: no result"):
        known_presets(folder, RUN)


@pytest.mark.parametrize(("speedup", "schedule"), [(1.2, "3:0.4"), (1.41, "3:0.4"), (1.5, "3:0.6"), (1.85, "2:0.6")])
def test_the_most_accurate_of_the_fast_enough_is_chosen(folder, speedup, schedule) -> None:
    assert choose_preset(known_presets(folder, RUN), speedup, folder).schedule == schedule


def test_too_fast_is_an_error_that_names_the_remedy(folder) -> None:
    with pytest.raises(
        PaumerError, match=r"the most is 1\.90, of 2:0\.6.*paumer tune .* --speedup 3 --output"
    ) as caught:
        choose_preset(known_presets(folder, RUN), 3, folder)
    assert str(folder / "tune.json") in str(caught.value)
    with pytest.raises(PaumerError, match=r"known to be that fast; find one with `paumer tune"):
        choose_preset([Preset(speedup=9)], 3, folder)
