"""Labels of Cityscapes by train ids, drawn from the polygons by the dataset's own tool."""

from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from paumer.data.datasets import Finish
from paumer.data.parallel import run_all
from paumer.errors import PaumerError, summary
from paumer.files import writing

POLYGONS_ENDING = "_polygons.json"


def train_id_drawer() -> Finish:
    """What draws the labels of a folder.

    Raises:
        PaumerError: the dataset's tools are not installed.
    """
    if find_spec("cityscapesscripts") is None:
        raise PaumerError("cityscapesscripts: not installed, and it draws the labels; pip install 'paumer[cityscapes]'")
    return draw_train_ids


def draw_train_ids(root: Path, processes: int) -> None:
    """Draw `*_labelTrainIds.png` beside every `*_polygons.json` that lacks it, so a second run goes on.

    Args:
        root: the dataset's folder.
        processes: how many processes draw.

    Raises:
        PaumerError: a file of polygons is not what it should be, or a label cannot be written.
    """
    polygons = sorted(root.glob(f"gtFine/*/*/*_gtFine{POLYGONS_ENDING}"))
    missing = [path for path in polygons if not _label_of(path).exists()]
    if missing:
        run_all(_draw, missing, "drawing train ids", processes, done=len(polygons) - len(missing))


def _draw(polygons: Path) -> None:
    from cityscapesscripts.preparation.json2labelImg import json2labelImg

    label = _label_of(polygons)
    with writing(label) as temporary:
        try:
            with redirect_stdout(StringIO()):  # it prints help and exits on an unknown label
                json2labelImg(str(polygons), str(temporary), "trainIds")
        except OSError:
            raise
        except (Exception, SystemExit) as error:
            problem = "unknown label" if isinstance(error, SystemExit) else summary(error)
            raise PaumerError(f"{polygons}: no polygons of Cityscapes ({problem}); fetch it again") from None


def _label_of(polygons: Path) -> Path:
    return polygons.with_name(polygons.name.removesuffix(POLYGONS_ENDING) + "_labelTrainIds.png")
