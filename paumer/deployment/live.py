"""`paumer predict --fps`: the frames of a folder or a video, each at the operating point that a governor gives it.

Beside the predictions lie `frames.csv`, what every frame got and took, and `frames.png`, the same as a plot.
"""

import csv
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from paumer.config.measuring import Evaluation
from paumer.deployment.frames import Frames, VideoWriter, video_writer
from paumer.deployment.governor import Frame, Governor
from paumer.deployment.network import HubSegmenter, load
from paumer.deployment.outputs import RECORD, Outputs, first_reasons, require_outside
from paumer.deployment.pictures import check_cityscapes, drawn
from paumer.deployment.settings import PredictSettings
from paumer.strategies.registry import Label
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, write_json, write_text, writing
from paumer.system.machine import find_device
from paumer.system.progress import progress

TABLE, PLOT = "frames.csv", "frames.png"
COLUMNS = ("frame", "name", *Label._fields, "milliseconds", "load", "late")
IN_TIME, LATE, LIMIT = "#0173B2", "#D55E00", "#5a5a5a"


def predict_frames(
    settings: PredictSettings,
    folder: Path,
    source: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Predict frames in their order, within the time that `settings.fps` leaves each; print how many were late.

    Overlays of a video become a video.

    Args:
        settings: what to write, and the frames a second.
        folder: of a trained run or an exported network, as for `predict_images`; so are `manifest` and `evaluation`.
        source: an image, a folder of them, or a video.
        output: folder to write to.
        manifest: `data.json` of the data of a run.
        evaluation: how images are seen.

    Raises:
        PaumerError: there are no frames; or, after all others were written, some could not be read.
    """
    assert settings.fps is not None
    require_folder(output)
    network = load(folder, evaluation, manifest)
    if "cityscapes" in settings.kinds:
        check_cityscapes(network.description)
    frames = Frames(source)
    if frames.is_video and "cityscapes" in settings.kinds:
        raise PaumerError(f"{source}: is a video; --format cityscapes needs images with the names of Cityscapes")
    require_outside(output, source)
    outputs = Outputs(output, frames.root, frames.names, settings.kinds)
    write_json(output / RECORD, settings.model_dump(mode="json"))  # no other run takes these files for its own
    governor = Governor(network.to(find_device(settings.device)), 1000 / settings.fps)
    rows = _predict(governor, network, frames, outputs)
    if rows:
        _write_table(output / TABLE, rows)
        _draw(output / PLOT, rows, governor)
        print(f"{_summary([frame for _, frame in rows], settings.fps)}; written to {output}")
    if frames.failed or not rows:
        reasons = first_reasons(frames.failed) or f"{source}: holds no frames; name another"
        raise PaumerError(f"{reasons}{f'; the other {len(rows)} are in {output}' if rows else ''}")


def _predict(governor: Governor, network: HubSegmenter, frames: Frames, outputs: Outputs) -> list[tuple[str, Frame]]:
    """Predict and write all frames; gives their names, and what each got."""
    rows: list[tuple[str, Frame]] = []
    with ExitStack() as stack:
        video: VideoWriter | None = None
        if frames.is_video and "overlay" in outputs.kinds:
            video = stack.enter_context(video_writer(outputs.folder / "overlay.mp4", frames.rate))
        for name, image in progress(frames, title="predict", total=frames.total):
            classes = governor(image).cpu().numpy()
            rows.append((str(name.relative_to(frames.root)), governor.history[-1]))
            for kind in outputs.kinds:
                picture = drawn(kind, image.permute(1, 2, 0).numpy(), classes, network.description)
                if kind == "overlay" and video is not None:
                    video.add(picture)
                else:
                    outputs.write(kind, name, picture)
    return rows


def _write_table(path: Path, rows: Sequence[tuple[str, Frame]]) -> None:
    """A row for every frame."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, (name, frame) in enumerate(rows, start=1):
        numbers = (f"{1000 * frame.seconds:.3f}", f"{frame.load:.4f}", int(frame.late))
        table.writerow((number, name, *frame.point.label, *numbers))
    write_text(path, text.getvalue())


def _draw(path: Path, rows: Sequence[tuple[str, Frame]], governor: Governor) -> None:
    """Time and operating point over the frames."""
    points = [timed.point for timed in governor.points] + [frame.point for _, frame in rows]  # maybe of other sizes
    ranked = list(dict.fromkeys(points))
    places = {point: len(ranked) - place for place, point in enumerate(ranked)}
    numbers = np.arange(1, len(rows) + 1)
    times = np.array([1000 * frame.seconds for _, frame in rows])
    late = np.array([frame.late for _, frame in rows])
    figure = Figure(figsize=(9, 3 + 0.3 * len(places)), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1 + 0.3 * len(places)))
    above.scatter(numbers[~late], times[~late], 6, IN_TIME, label="in time")
    above.scatter(numbers[late], times[late], 6, LATE, label="late")
    above.axhline(1000 * governor.limit, color=LIMIT, linestyle="--", label="time per frame")
    above.set(ylabel="milliseconds", ylim=(0, None))
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    below.step(numbers, [places[frame.point] for _, frame in rows], where="mid", color=IN_TIME)
    below.set_yticks(list(places.values()), list(map(str, places)), fontsize="small")
    below.set(xlabel="frame", ylim=(0.5, len(places) + 0.5))
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _summary(frames: Sequence[Frame], fps: float) -> str:
    """How long frames took, how many were late, and which operating points they got."""
    median = 1000 * statistics.median(frame.seconds for frame in frames)
    late = sum(frame.late for frame in frames)
    shares = [f"{point} {count / len(frames):.1%}" for point, count in Counter(f.point for f in frames).most_common()]
    times = (
        f"the network took {median:.4g} ms in the median, {late} were later than {1000 / fps:.4g} ms (--fps {fps:g})"
    )
    return f"{len(frames)} frames: {times}; {', '.join(shares)}"
