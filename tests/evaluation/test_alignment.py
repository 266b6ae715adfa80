"""Tables from patches whose relation to the labels is known."""

import numpy as np
import pandas as pd
import pytest

from paumer.evaluation.semantics import auroc, boundary, composition, correlation, groups

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


def test_one_class_is_all_that_pauses_and_classes_without_patches_are_left_out(patches) -> None:
    alone = patches.assign(**{"class": pd.Categorical(["sky"] * 10, categories=["road", "sky"])})
    assert composition(alone, (0.2,)).to_numpy().tolist() == [[0.2, "sky", 10, 1, 1, 0.2]]


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


def test_what_is_the_same_everywhere_correlates_with_nothing(patches) -> None:
    table = correlation(patches.assign(error=0.5, final_error=0.5))
    assert table["spearman"].isna().all()
    assert table["auroc"].isna().all()


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    scores, positive = pd.Series(random.integers(0, 6, 50)), pd.Series(random.random(50) < 0.3)
    higher = [(one > other) + (one == other) / 2 for one in scores[positive] for other in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(higher))
