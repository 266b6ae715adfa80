"""Result folders of several machines, seeds and people become one board."""

from pathlib import Path

import pandas as pd
import pytest
from command_line import CommandLine

from paumer.reporting.merge import SPEEDUPS, merge
from paumer.reporting.reading import read_table
from paumer.system.files import read_json, write_json
from results import Results, collect, write_results


def read(path: Path) -> pd.DataFrame:
    return read_table(path, [])


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """One experiment on two machines, each with seeds of its own."""
    one = write_results(tmp_path / "one/streets", Results(seeds=(0, 1)))
    other = write_results(tmp_path / "other/streets", Results(seeds=(2, 3, 4), chance=1, device="GPU"))
    merge([one, other], tmp_path / "board")
    return tmp_path / "board"


def test_rows_say_where_they_come_from(board: Path) -> None:
    accuracy, speeds = read(board / "accuracy.csv"), read(board / "speeds.csv")
    assert set(speeds["machine"]) == {"Processor, 2 threads; AVX2", "GPU; AVX2"}
    for table in (accuracy, speeds):
        assert set(table["source"]) == {str(board.parent / name / "streets") for name in ("one", "other")}
        assert set(table["revision"]) == {"aaaa"}
        assert set(table["experiment"]) == {"streets"}
    described = read_json(board / "sources.json")["sources"]
    assert [len(source["runs"]) for source in described] == [4, 6]
    named = {(group["data"], group["settings"]) for source in described for group in source["pooled"]}
    assert named == set(accuracy[["data", "settings"]].itertuples(index=False, name=None))


def test_seeds_of_equal_settings_data_and_code_are_pooled(board: Path) -> None:
    equal, accuracy = read(board / "equal_speed.csv"), read(board / "accuracy.csv")
    assert set(equal["seeds"]) == {5}
    pause = accuracy[(accuracy["strategy"] == "pause") & (accuracy["criterion"] == "entropy")]
    drops = pause.groupby("schedule")["drop"].agg(["mean", "std"])
    for row in equal[equal["strategy"] == "pause"].to_dict("records"):
        assert row["drop"] == pytest.approx(drops.loc[row["schedule"], "mean"], abs=1e-3)
        assert row["drop_spread"] == pytest.approx(drops.loc[row["schedule"], "std"], abs=1e-3)


def test_each_family_has_its_best_point_that_its_own_run_found_fast_enough(board: Path) -> None:
    equal, speeds = read(board / "equal_speed.csv"), read(board / "speeds.csv")
    assert (equal["speedup"] >= equal["asked_speedup"]).all()
    assert set(equal["asked_speedup"]) <= set(SPEEDUPS)
    assert set(equal["chosen_on"]) == {"reported"}
    timed = speeds.set_index(["source", "batch", "strategy", "schedule"])["speedup"].sort_index()
    for row in equal.to_dict("records"):
        assert row["speedup"] == timed[row["source"], row["batch"], row["strategy"], row["schedule"]]
        others = timed[row["source"], row["batch"], row["strategy"]]
        faster = [name for name, speedup in others.items() if speedup >= row["asked_speedup"]]
        # A milder schedule loses less, so the mildest that is fast enough is best.
        milder = min(faster) if row["strategy"] != "resize" else max(faster)
        assert row["schedule"] == milder, row
    assert "random" not in set(equal["criterion"])


def test_the_split_to_choose_on_decides_and_the_other_is_reported(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "streets", Results(), select=True)
    table = read(folder / "select_accuracy.csv")
    better = table["schedule"].isin(["1:0.7"]) & (table["criterion"] == "entropy")
    collect(folder / "select_accuracy.csv", table.assign(miou=table["miou"] + 50.0 * better), {})
    merge([folder], tmp_path / "board")
    equal = read(tmp_path / "board/equal_speed.csv")
    assert set(equal["chosen_on"]) == {"select"}
    assert set(equal.loc[equal["strategy"] == "pause", "schedule"]) == {"1:0.7"}
    assert (equal["drop"] > 0).all()


@pytest.mark.parametrize("change", [{"data": "other"}, {"steps": 200}, {"revision": "bbbb"}])
def test_other_data_settings_or_code_are_told_apart(tmp_path: Path, change: dict) -> None:
    folders = [
        write_results(tmp_path / "one", Results(seeds=(0, 1))),
        write_results(tmp_path / "other", Results(seeds=(2, 3), **change)),
    ]
    merge(folders, tmp_path / "board")
    equal, accuracy = read(tmp_path / "board/equal_speed.csv"), read(tmp_path / "board/accuracy.csv")
    assert set(equal["seeds"]) == {2}
    column = {"data": "data", "steps": "settings", "revision": "revision"}[next(iter(change))]
    by_source = accuracy[accuracy["recipe"] == "paumer"].groupby("source")[column].unique()
    assert all(len(values) == 1 for values in by_source) and by_source.iloc[0][0] != by_source.iloc[1][0]


def test_a_seed_in_two_folders_counts_once(tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, Results(seeds=(0, 1), device=name)) for name in ("a", "b")]
    merge(folders, tmp_path / "board")
    equal = read(tmp_path / "board/equal_speed.csv")
    assert set(equal["seeds"]) == {2}
    alone = tmp_path / "alone"
    merge(folders[:1], alone)
    first = equal[equal["source"] == str(folders[0])]
    assert list(first["drop"]) == list(read(alone / "equal_speed.csv")["drop"])


def test_the_page_needs_no_other_file_and_the_board_is_the_same_each_time(board: Path, tmp_path: Path) -> None:
    page = (board / "index.html").read_text(encoding="utf-8")
    assert "PAUMER: pause by entropy" in page and "GPU; AVX2" in page
    assert "<link" not in page and "src=" not in page
    merge([tmp_path / "one/streets", tmp_path / "other/streets"], tmp_path / "again")
    for path in board.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_folders_that_cannot_be_merged_are_refused(tmp_path: Path, command_line: CommandLine) -> None:
    folder, output = write_results(tmp_path / "streets", Results(seeds=(0,))), tmp_path / "board"

    def refused(*folders: Path) -> str:
        line = command_line.refuse("merge", *folders, "--output", output)
        assert not output.exists()
        return line

    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder; name results/EXPERIMENT"
    assert refused(folder, folder / ".") == f"{folder}: is named twice; name each folder once"
    run = folder / "runs/net/paumer/seed0/run.json"
    whole = read_json(run)
    write_json(run, {name: value for name, value in whole.items() if name != "data_sha256"})
    assert refused(folder).startswith(f"{run}: has no key 'data_sha256'")
    write_json(run, whole)
    machine = read_json(folder / "machine.json")
    write_json(folder / "machine.json", machine | {"environment": {"device": "another"}})
    assert "machine.json: environment.device is 'another', but throughput.csv was timed on" in refused(folder)
    write_json(folder / "machine.json", machine | {"data": {"val": "other"}})
    assert "measured on different data (split 'val' was changed" in refused(folder)
    write_json(folder / "machine.json", machine)
    (folder / "accuracy.csv").write_text("backbone\nnet\n")
    assert "accuracy.csv: changed since it was measured" in refused(folder)
    for name in ("accuracy.csv", "throughput.csv"):
        (folder / name).unlink()
    assert refused(folder) == f"{folder}: holds neither accuracy.csv nor throughput.csv; run the workflow first"


@pytest.mark.parametrize("missing", ["accuracy.csv", "throughput.csv"])
def test_accuracy_alone_and_speed_alone_are_merged(tmp_path: Path, missing: str) -> None:
    folder = write_results(tmp_path / "streets", Results(seeds=(0,)))
    (folder / missing).unlink()
    merge([folder], tmp_path / "board")
    names = {"accuracy.csv": "accuracy.csv", "throughput.csv": "speeds.csv"}
    for name, table in names.items():
        assert (len(read(tmp_path / "board" / table)) == 0) == (name == missing)
    assert "No folder has both" in (tmp_path / "board/index.html").read_text(encoding="utf-8")
