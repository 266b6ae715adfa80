"""Data and charts of the report's interactive parts, without a browser."""

import json

import numpy as np
import pandas as pd
import pytest

from paumer.reporting.figures.styles import STAR, method_styles
from paumer.reporting.frames import DENSE
from paumer.reporting.page.charts import equal_speed_chart, explorer_chart, training_chart
from paumer.reporting.page.data import as_json, columns, equal_speed_data, explorer_data, library
from paumer.reporting.page.provenance import links
from paumer.reporting.page.rendering import scripts
from paumer.reporting.tables.speed import read_speed
from paumer.system.files import ExperimentFiles

KEY = ["backbone", "recipe", "strategy", "criterion", "schedule"]


@pytest.fixture(scope="module")
def explored(reported):
    from paumer.reporting.frames import operating_points, read_main

    main, speed = read_main(reported.tables / "main.csv"), read_speed(reported.tables / "speed.csv")
    return operating_points(main), speed, explorer_data(main, speed)


def test_explorer_has_every_operating_point(explored):
    main, _, data = explored
    points = pd.DataFrame(data["points"])
    assert len(points) == len(main)
    assert points["miou"].tolist() == main["miou"].tolist()
    assert points["oracle"].tolist() == (main["criterion"] == "oracle").tolist()


def test_explorer_has_every_timing_of_every_setting(explored):
    main, speed, data = explored
    timings, settings = pd.DataFrame(data["timings"]), pd.DataFrame(data["settings"])
    assert len(settings) == 2 * 4 * 2 + 4 * 2  # settings and batches, of tiny at two sizes and of small
    assert not timings.duplicated(["point", "setting"]).any()
    for number, setting in settings.iterrows():
        found = timings[timings["setting"] == number].set_index("point")
        names = ["backbone", "device", "dtype", "mode", "scope", "batch"]
        chosen = speed[(speed[names] == setting[names]).all(axis=1)]
        chosen = chosen[chosen["height"].astype(str) + " x " + chosen["width"].astype(str) == setting["input"]]
        timed = chosen[chosen["images_per_s"].notna() & (chosen["strategy"] == "pause")]
        paused = main.loc[found.index][lambda rows: rows["strategy"] == "pause"]
        assert set(paused["schedule"]) == set(timed["schedule"])
        for at, row in paused.iterrows():
            expected = timed[timed["schedule"] == row["schedule"]].iloc[0]
            assert found.loc[at, "images_per_s"] == pytest.approx(expected["images_per_s"], rel=1e-3)
            assert found.loc[at, "latency_ms"] == pytest.approx(
                1000 * setting["batch"] / expected["images_per_s"], rel=1e-3
            )
            assert found.loc[at, "latency_ms_low"] <= found.loc[at, "latency_ms"] <= found.loc[at, "latency_ms_high"]


def test_methods_at_equal_speed_are_those_of_the_figure(reported, explored):
    drawn = pd.read_csv(reported.figures / "drop_speedup.csv")
    data = equal_speed_data(drawn)
    assert data["drop"] == drawn["drop"].tolist() and data["drop_low"] == drawn["drop_low"].tolist()
    ends = "{drop:.2f} [{drop_low:.2f}, {drop_high:.2f}]"
    assert data["drop_text"][0] == ends.format(**drawn.iloc[0])
    spec = equal_speed_chart({name: style for name, style in method_styles(explored[0]).items() if "/pause" in name})
    claims = [value["drop"] for one in spec["data"] for value in one.get("values", [])]
    assert claims == [0, 0.65]
    assert {legend["orient"] for legend in spec["legends"]} == {"bottom"}


def test_unknown_numbers_are_null():
    made = columns(pd.DataFrame({"a": [1.00004, np.nan], "b": pd.array([1, None], dtype="Int64"), "c": ["x", "y"]}))
    assert made == {"a": [1.0, None], "b": [1, None], "c": ["x", "y"]}
    with pytest.raises(ValueError, match="JSON"):
        as_json({"a": float("nan")})


def test_data_cannot_leave_its_element():
    text = as_json({"name": "</script><script>alert(1)</script>", "line": "\u2028"})
    assert "<" not in text
    assert json.loads(text)["name"].startswith("</script>")


def test_scripts_cannot_leave_their_element():
    for script in (library(), scripts()):
        assert "</script" not in script.lower()
        assert "<!--" not in script


def test_charts_name_their_data_and_colours(main):
    methods = method_styles(main)
    assert methods[DENSE].marker == STAR
    spec = explorer_chart(methods)
    assert {"points", "lines", "front", "rules", "marks"} <= {data["name"] for data in spec["data"]}
    colours = next(scale for scale in spec["scales"] if scale["name"] == "color")
    assert colours["domain"] == list(methods)
    assert colours["range"] == [style.colour for style in methods.values()]
    strokes = next(scale for scale in training_chart(["a", "b"])["scales"] if scale["name"] == "strokeDash")
    assert strokes["range"][0] != strokes["range"][1]


def test_links_are_relative_to_the_page(tmp_path):
    for name in ("flops.csv", "a b/train.csv", "tables/main.csv", "figures/paper/training_one_column.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    groups = links(tmp_path / "report.html", ExperimentFiles(tmp_path), [tmp_path / "a b/run.json"])
    assert groups["Measured"] == {"flops.csv": "flops.csv", "a b/train.csv": "a%20b/train.csv"}
    assert groups["Tables"] == {"tables/main.csv": "tables/main.csv"}
    assert list(groups["Figures for a paper"]) == ["figures/paper/training_one_column.pdf"]
