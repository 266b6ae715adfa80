"""Stage `semantics`: what it notes of every patch, its tables, and which patches lose what pausing costs."""

import numpy as np
import pandas as pd
import pytest
import torch

from paumer.config.base import IGNORE
from paumer.config.runs import SemanticsSettings
from paumer.data.loading import SegmentationData
from paumer.evaluation.calibration import BINS, FINAL, Calibration
from paumer.evaluation.evaluate import confusion_matrix
from paumer.evaluation.pauses import watch_pauses
from paumer.evaluation.semantics import (
    CRITERIA,
    GROUPS,
    attribution,
    auroc,
    boundary,
    composition,
    correlation,
    groups,
    patch_statistics,
    pause_fraction,
    semantics,
)
from paumer.models.build import load_run
from paumer.models.segmenter import DENSE
from paumer.strategies.early_exit import EarlyExit, Exit
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError

FRACTIONS = (0.25, 0.5)
SETTINGS = SemanticsSettings(device="cpu", fractions=FRACTIONS, schedule="2:0.5")


@pytest.fixture
def observed(run_of, data) -> pd.DataFrame:
    network, _ = load_run(run_of("paumer"))
    return patch_statistics(network, *data[0], data.dataset, FRACTIONS, Calibration())


def test_errors_are_those_of_every_cell(run_of, data, observed) -> None:
    network, _ = load_run(run_of("paumer"))
    image, label = data[0]
    exits = {"2 error": EarlyExit(Exit(2)), "3 error": EarlyExit(Exit(3)), "final_error": network.strategy}
    for column, strategy in exits.items():
        with torch.inference_mode():
            cells = network.patch_logits(image[None], strategy).argmax(dim=1)[0]
        side = label.shape[-1] // cells.shape[-1]
        predicted = cells.repeat_interleave(side, 0).repeat_interleave(side, 1)
        wrong = ((predicted != label) & (label != IGNORE)).double()
        pooled = [torch.nn.functional.avg_pool2d(part[None], 8) for part in (wrong, (label != IGNORE).double())]
        expected = (pooled[0] / pooled[1]).flatten()
        assert np.allclose(observed[column], expected, equal_nan=True, atol=1e-6)
    assert 0 < observed["final_error"].mean() < 1


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_what_pauses_is_what_the_strategy_pauses(run_of, data, observed, fraction) -> None:
    network, _ = load_run(run_of("paumer"))
    with torch.inference_mode():
        _, state = network.encode(data[0][0][None], Pause(Schedule(f"2:{fraction}")))
    paused = np.flatnonzero(observed["2 entropy pause fraction"] <= fraction)
    assert sorted(state.positions[0].tolist()) == sorted(set(range(state.patches)) - set(paused))


def test_labels_of_a_patch(run_of, data) -> None:
    network, _ = load_run(run_of("paumer"))
    image, _ = data[0]
    label = torch.full(image.shape[-2:], 1, dtype=torch.uint8)
    label[:, 12:] = 5  # within the second column of patches
    label[:8, :8] = IGNORE
    label[8:16, 8:12] = IGNORE
    names = list(data.dataset.classes)
    table = patch_statistics(network, image, label, data.dataset, FRACTIONS, Calibration())
    classes, uniform = (table[name].to_numpy().reshape(6, 12) for name in ("class", "uniform"))
    assert pd.isna(classes[0, 0])
    assert set(classes[1:, 0]) == {names[1]}
    assert set(classes[:, 2]) == {names[5]}
    assert uniform[1, 1] and not uniform[2:, 1].any() and uniform[:, 2:].all()
    assert table["distance"].iloc[-1] == pytest.approx((92 - 12) / 8)


def test_pause_fraction_is_the_smallest_fraction() -> None:
    scores = torch.tensor([0.5, 0.1, 0.9, 0.3])
    assert pause_fraction(scores, (0.25, 0.75)).tolist() == [0.75, 0.25, torch.inf, 0.75]


def labelled_pixels(data) -> int:
    return sum(int((data[index][1] != IGNORE).sum()) for index in range(len(data)))


def test_tables_of_a_run(run_of, data, manifest, tmp_path) -> None:
    semantics(SETTINGS, manifest, run_of("paumer"), tmp_path / "semantics")
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "semantics").iterdir()}
    shares = tables.pop("attribution")
    assert shares[["backbone", "seed", "schedule"]].values.tolist() == [["net", 3, "2:0.5"]]
    calibrated = tables.pop("calibration")
    assert list(calibrated["block"]) == [2] * BINS + [3] * BINS + [FINAL] * BINS
    assert set(calibrated.groupby("block")["pixels"].sum()) == {labelled_pixels(data)}
    assert set(tables) == {"composition", "groups", "boundary", "correlation"}
    for table in tables.values():
        assert (set(table["backbone"]), set(table["seed"]), set(table["block"])) == ({"net"}, {3}, {2, 3})
        assert set(table["criterion"]) == set(CRITERIA)
    counted = tables["correlation"][["patches", "unlabelled"]].drop_duplicates()
    assert counted.sum(axis=1).item() == 5 * 6 * 12
    composed = tables["composition"]
    of_all = composed.groupby(["block", "criterion", "fraction"])["patches"].sum()
    assert set(of_all) == {counted["patches"].item()}
    groups = tables["groups"].pivot(index=["block", "criterion", "fraction"], columns="group", values="patches")
    assert (groups["paused"] + groups["running"] == groups["all"]).all()


def test_networks_without_heads_are_refused(run_of, manifest, tmp_path) -> None:
    with pytest.raises(PaumerError, match="no auxiliary head"):
        semantics(SETTINGS, manifest, run_of("dense", heads=False), tmp_path / "semantics")
    assert not (tmp_path / "semantics").exists()


def test_unlabelled_patches_are_counted_and_nothing_else(run_of, manifest, tmp_path, monkeypatch) -> None:
    label = torch.full((48, 96), IGNORE)
    monkeypatch.setattr(SegmentationData, "__getitem__", lambda data, index: (torch.zeros(3, 48, 96), label))
    with pytest.raises(PaumerError, match="no pixel of split val is labelled"):
        semantics(SETTINGS, manifest, run_of("paumer"), tmp_path / "semantics")
    label[:, :20] = 4  # two columns of patches and half of the third
    semantics(SETTINGS, manifest, run_of("paumer"), tmp_path / "semantics")
    table = pd.read_csv(tmp_path / "semantics/correlation.csv")
    assert (set(table["patches"]), set(table["unlabelled"])) == ({5 * 6 * 3}, {5 * 6 * 9})
    assert pd.read_csv(tmp_path / "semantics/boundary.csv").empty
    assert set(pd.read_csv(tmp_path / "semantics/composition.csv")["share"]) == {1}


# Ten patches; the uniform ones of sky, far from boundaries, have the lowest scores.
SKY, ROAD = 4, 6


@pytest.fixture
def patches() -> pd.DataFrame:
    scores = np.arange(10) / 10
    return pd.DataFrame(
        {
            "class": ["sky"] * SKY + ["road"] * ROAD,
            "uniform": [True] * SKY + [False] * ROAD,
            "distance": [4.5] * SKY + [0.25, 0.25, 1.5, 1.5, np.inf, np.inf],
            "score": scores,
            "pause_fraction": np.where(scores < 0.15, 0.2, np.where(scores < 0.55, 0.6, np.inf)),
            "error": scores**2,
            "final_error": 0.5 * scores**2,
        }
    )


def test_composition_counts_both_ways(patches) -> None:
    table = composition(patches, (0.2, 0.6)).set_index(["fraction", "class"])
    assert list(table.loc[(0.2, "sky")]) == [SKY, 0.4, 1, 2 / 4]
    assert list(table.loc[(0.2, "road")]) == [ROAD, 0.6, 0, 0]
    assert table.loc[(0.6, "road"), "share_of_paused"] == pytest.approx(2 / 6)
    assert table.loc[(0.6, "road"), "share_paused"] == pytest.approx(2 / 6)
    assert table.loc[(0.6, "sky"), "share_paused"] == 1
    by_fraction = table.groupby("fraction")
    assert list(by_fraction["share"].sum()) == list(by_fraction["share_of_paused"].sum()) == pytest.approx([1, 1])


def test_groups_tell_paused_from_running(patches) -> None:
    table = groups(patches, (0.2, 0.6)).set_index(["fraction", "group"])
    assert list(table.loc[0.2, "patches"]) == [10, 2, 8]
    assert list(table.loc[0.2, "uniform"]) == [0.4, 1, 2 / 8]
    assert list(table.loc[0.6, "uniform"]) == [0.4, 4 / 6, 0]
    assert table.loc[(0.2, "paused"), "distance"] == 4.5
    assert table.loc[(0.6, "running"), "distance"] == 1.5  # of those that have one


def test_bins_hold_the_means_of_their_patches(patches) -> None:
    table = boundary(patches).set_index("bin")
    assert list(table.index) == ["0 to 0.5", "1 to 2", "4 or more"]
    assert list(table["patches"]) == [2, 2, 4]
    assert list(table["score"]) == pytest.approx([0.45, 0.65, 0.15])
    assert table.loc["0 to 0.5", "error"] == pytest.approx((0.16 + 0.25) / 2)
    assert boundary(patches.assign(distance=np.inf)).empty


@pytest.mark.parametrize(("sign", "expected"), [(1, 1), (-1, 0)])
def test_perfect_and_inverted_criteria(patches, sign, expected) -> None:
    table = correlation(patches.assign(score=sign * patches["score"], error=patches["error"] - 0.2)).set_index("target")
    assert table.loc["head's error", "spearman"] == pytest.approx(sign)
    assert table.loc["head's error", "auroc"] == expected
    assert table.loc["final error", "spearman"] == pytest.approx(sign)
    assert set(table["patches"]) == {10}


def test_gain_is_what_running_on_saves(patches) -> None:
    worse = patches.assign(final_error=patches["error"] + patches["score"])
    table = correlation(worse).set_index("target")
    assert table.loc["gain", "spearman"] == pytest.approx(-1)
    assert np.isnan(table.loc["gain", "auroc"])  # nothing gains


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    scores, positive = pd.Series(random.integers(0, 6, 50)), pd.Series(random.random(50) < 0.3)
    higher = [(one > other) + (one == other) / 2 for one in scores[positive] for other in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(higher))


PAUSE = Pause(Schedule("2:0.5"))
SIZE = (30, 61)  # no whole number of patches


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def predictions(model, image, strategy) -> torch.Tensor:
    with torch.inference_mode():
        return model.label(model.patch_logits(image, strategy), image)[0]


def test_ends_are_the_dense_and_the_paused_network(model, image) -> None:
    label = torch.randint(0, model.classes, SIZE, generator=torch.Generator().manual_seed(1))
    matrices = dict(zip(GROUPS, attribution(model, image, label, PAUSE), strict=True))
    for group, strategy in (("none", DENSE), ("all", PAUSE)):
        matrix = confusion_matrix(label, predictions(model, image, strategy), model.classes)
        assert torch.equal(matrices[group], matrix)


def test_paused_and_running_patches_change_what_all_change(model, image) -> None:
    """Where the label is the dense prediction, every error is one that pausing made, in the one group or the other."""
    label = predictions(model, image, DENSE)
    matrices = attribution(model, image, label, PAUSE)
    errors = {group: int(one.sum() - one.diagonal().sum()) for group, one in zip(GROUPS, matrices, strict=True)}
    waited = watch_pauses(model, image, PAUSE).blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[:30, :61] > 0
    wrong = predictions(model, image, PAUSE) != label
    assert errors == {
        "none": 0,
        "paused": int(wrong[waited].sum()),
        "running": int(wrong[~waited].sum()),
        "all": int(wrong.sum()),
    }
    assert errors["paused"] and errors["running"]
