"""Stage `semantics`: what it notes of every patch is what the network, the labels and pausing say."""

import numpy as np
import pandas as pd
import pytest
import torch

from paumer.config.base import IGNORE
from paumer.config.runs import SemanticsSettings
from paumer.data.loading import SegmentationData
from paumer.evaluation.semantics import CRITERIA, patch_statistics, pause_fraction, semantics
from paumer.models.build import load_run
from paumer.strategies.criteria import confidence, entropy
from paumer.strategies.early_exit import EarlyExit, Exit
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError

FRACTIONS = (0.25, 0.5)
SETTINGS = SemanticsSettings(device="cpu", fractions=FRACTIONS, schedule="2:0.5")


@pytest.fixture
def observed(run_of, data) -> pd.DataFrame:
    network, _ = load_run(run_of("paumer"))
    return patch_statistics(network, *data[0], data.dataset, FRACTIONS)


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


def test_scores_are_those_of_the_heads(run_of, data, observed) -> None:
    network, _ = load_run(run_of("paumer"))
    with torch.inference_mode():
        tokens, state = network.encode(data[0][0][None], EarlyExit(Exit(3)))
        logits = state.predict(3, tokens)
    assert np.allclose(observed["3 entropy"], entropy(logits)[0], atol=1e-6)
    assert np.allclose(observed["3 confidence"], confidence(logits)[0], atol=1e-6)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_what_pauses_is_what_the_strategy_pauses(run_of, data, observed, fraction) -> None:
    network, _ = load_run(run_of("paumer"))
    with torch.inference_mode():
        _, state = network.encode(data[0][0][None], Pause(Schedule.parse(f"2:{fraction}")))
    [(_, went_on)] = state.paused_at()
    paused = np.flatnonzero(observed["2 entropy pause fraction"] <= fraction)
    assert sorted(went_on[0].tolist()) == sorted(set(range(state.patches)) - set(paused))


def test_labels_of_a_patch(run_of, data) -> None:
    network, _ = load_run(run_of("paumer"))
    image, _ = data[0]
    label = torch.full(image.shape[-2:], 1, dtype=torch.uint8)
    label[:, 12:] = 5  # within the second column of patches
    label[:8, :8] = IGNORE
    label[8:16, 8:12] = IGNORE
    names = list(data.dataset.classes)
    table = patch_statistics(network, image, label, data.dataset, FRACTIONS)
    classes, uniform = (table[name].to_numpy().reshape(6, 12) for name in ("class", "uniform"))
    assert pd.isna(classes[0, 0])
    assert set(classes[1:, 0]) == {names[1]}
    assert set(classes[:, 2]) == {names[5]}
    assert uniform[1, 1] and not uniform[2:, 1].any() and uniform[:, 2:].all()
    assert table["distance"].iloc[-1] == pytest.approx((92 - 12) / 8)


def test_pause_fraction_is_the_smallest_fraction() -> None:
    scores = torch.tensor([0.5, 0.1, 0.9, 0.3])
    assert pause_fraction(scores, (0.25, 0.75)).tolist() == [0.75, 0.25, torch.inf, 0.75]


def test_tables_of_a_run(run_of, manifest, tmp_path) -> None:
    semantics(SETTINGS, manifest, run_of("paumer"), tmp_path / "semantics")
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "semantics").iterdir()}
    shares = tables.pop("attribution")
    assert shares[["backbone", "seed", "schedule"]].values.tolist() == [["net", 3, "2:0.5"]]
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
