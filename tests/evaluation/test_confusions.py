"""The file of confusion matrices: what is written is read back, and what is none of them is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from paumer.evaluation.confusions import Confusions, Images, Point, counts_of, write_confusions
from paumer.system.errors import PaumerError

IMAGES = Images(("a.png", "b.png"), ("drive 1", "drive 1"), ("road", "sky", "tree"))
MATRICES: dict[Point, np.ndarray] = {
    ("dense", "", "dense"): np.arange(18).reshape(2, 3, 3),
    ("pause", "entropy", "1:0.4"): 2**31 + np.arange(18).reshape(2, 3, 3),
}
COUNTS = {point: counts_of(matrices) for point, matrices in MATRICES.items()}


def test_what_is_0_takes_no_place() -> None:
    matrices = np.zeros((2, 150, 150), dtype=np.int64)
    matrices[0, 3, 3], matrices[1, 3, 149] = 7, 2**32 - 1
    np.testing.assert_array_equal(counts_of(matrices, first=5), [[5, 6], [453, 599], [7, 2**32 - 1]])


def test_it_is_read_back(tmp_path: Path) -> None:
    write_confusions(tmp_path / "confusions.npz", IMAGES, COUNTS)
    read = Confusions(tmp_path / "confusions.npz")
    assert read.images == IMAGES
    assert read.points == list(MATRICES)
    for (point, matrices), (written, expected) in zip(read, MATRICES.items(), strict=True):
        assert point == written
        np.testing.assert_array_equal(matrices, expected)


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def another_array(path: Path) -> None:
    np.savez(path, images=np.arange(3))


def no_archive(path: Path) -> None:
    path.write_text("experiment,miou\n")


def another_shape(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | {"matrix_1": np.zeros((2, 3), dtype=np.uint32)}))


@pytest.mark.parametrize("change", [Path.unlink, damaged, another_array, no_archive, another_shape])
def test_other_files_are_refused_in_one_line(change: object, tmp_path: Path) -> None:
    path = tmp_path / "confusions.npz"
    write_confusions(path, IMAGES, COUNTS)
    change(path)  # type: ignore[operator]
    with pytest.raises(PaumerError, match=r"confusions\.npz: no confusion matrices of a run \(.+\); evaluate") as error:
        list(Confusions(path))
    assert "\n" not in str(error.value)
