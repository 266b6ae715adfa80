"""The table of published figures, and ours where dataset or network are the same."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import INPUT, NETWORK, at_first_size, at_largest_batch
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import DECIMALS, Columns, Sheet, digits, named, rounded, sheet_of
from paumer.reporting.tables.main import FLOPS
from paumer.reporting.timings import in_first_setting, read_throughput, windows_per_s
from paumer.system.files import read_json

PUBLISHED = [
    *("source", "method", "dataset", *NETWORK, "crop", "setting"),
    *("miou", "miou_change", "gmac", "images_per_s", "speedup", "timing_note"),
]
OURS = "this experiment"


def read_published(path: Path) -> pd.DataFrame:
    """Read published figures, or the table made of them.

    Raises:
        PaumerError: the file is unusable.
    """
    return read_table(path, PUBLISHED)


def published_table(main: pd.DataFrame, published: Path, manifest: Path, flops: Path, throughput: Path) -> pd.DataFrame:
    """Published figures of the same dataset or network, and below them our operating points in the same columns.

    Returns:
        The columns of published.csv and `same`: what a published row shares with this experiment, `dataset`, `network`
        (backbone and decoder) or both. Where no row shares anything: all published rows, and none of ours.

    Raises:
        PaumerError: a file is unusable.
    """
    theirs = read_published(published)[PUBLISHED]
    dataset = str(read_json(manifest).get("dataset", ""))
    ours = _our_rows(main, dataset, flops, throughput)
    theirs["same"], related = _shared(theirs, ours), _shared(ours, theirs)
    if not (theirs["same"] != "").any():
        return theirs
    return pd.concat([theirs[theirs["same"] != ""], ours[related != ""].assign(same="")], ignore_index=True)


def _our_rows(main: pd.DataFrame, dataset: str, flops: Path, throughput: Path) -> pd.DataFrame:
    """Every operating point at the backbone's largest batch, in the columns of the published figures.

    These are of one crop; so are GMAC and images/s here, of one window where an image is several.
    """
    inputs = at_first_size(read_table(flops, [*FLOPS, *INPUT]))
    inputs = inputs[inputs["strategy"] == "dense"].rename(columns={"height": "crop"})
    points = at_largest_batch(main).merge(inputs[[*NETWORK, "crop"]], on="backbone", how="left")
    setting = in_first_setting(read_throughput(throughput)).iloc[0]
    notes = f"{setting['device']}, {setting['dtype']}, batch " + points["batch"].astype(str)
    notes = notes.where(points["images_per_s"].notna(), "")
    points["decoder"] = points["decoder"].fillna("")
    points["gmac"], points["images_per_s"] = points["gmac"] / points["windows"], windows_per_s(points)
    rows = points.rename(columns={"schedule": "setting"}).assign(source=OURS, dataset=dataset, timing_note=notes)
    return rows.assign(miou_change=0 - rows["drop"])[PUBLISHED].round(DECIMALS)


def _shared(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """What each row has in common with any of the others."""
    networks = set(others[NETWORK].itertuples(index=False, name=None))
    dataset = rows["dataset"].ne("") & rows["dataset"].isin(others["dataset"])
    network = pd.Series([tuple(row) in networks for row in rows[NETWORK].to_numpy()], index=rows.index, dtype=bool)
    named = dataset.map({True: "dataset", False: ""}).str.cat(network.map({True: "network", False: ""}), sep=", ")
    return named.str.strip(", ")


def published_sheet(published: pd.DataFrame) -> Sheet:
    """Published figures, and ours where dataset or network are the same."""
    columns: Columns = {
        **named(*PUBLISHED[:5]),
        "crop (pixels)": rounded("crop", 0),
        "setting": "setting",
        "mIoU (points)": rounded("miou", 2),
        "change of mIoU (points)": rounded("miou_change", 2),
        "GMAC": digits("gmac"),
        "images/s": digits("images_per_s"),
        "speed-up": rounded("speedup", 2),
        "timing": "timing_note",
    }
    if not (published["source"] == OURS).any():
        opening = "Dataset and networks differ from those of this experiment: no row is comparable with it."
        return sheet_of(published, columns, opening=opening)
    note = "Figures of other devices and implementations: compare ratios and changes, not images/s."
    return sheet_of(published, columns | {"same as here": "same"}, [note])
