"""The verbs that use a trained network, as people type them. Imports no torch at module level."""

from pathlib import Path
from typing import Annotated, Any

import typer

from paumer.cli_options import Folder, Manifest, Threads, on_gpu, use_threads

export = typer.Typer(no_args_is_help=True, help="Write a trained network for others to use.")

Run = Annotated[Path, typer.Argument(help="Folder of a trained run, or one that `paumer export hub` wrote; or demo.")]
DataOfRun = Annotated[
    Path | None, typer.Option("--data", help="data.json of its data; that of its experiment by default.")
]
Seen = Annotated[
    str | None,
    typer.Option(
        "--evaluation",
        help="How images are seen (windows, short side, scales): an experiment, or its `evaluation`, as YAML file or "
        "text in braces. By default in windows as large as the training crops.",
    ),
]
Schedule = Annotated[str | None, typer.Option(help="Operating point, such as 3:0.4; dense by default.")]
Strategy = Annotated[str, typer.Option(help="What the schedule is of; docs/strategies.md.")]
Criterion = Annotated[str, typer.Option(help="What decides which patches pause; the usual one by default.")]
Speedup = Annotated[
    float | None, typer.Option(help="The most accurate operating point known to be so many times as fast.")
]
Height = Annotated[
    str | None, typer.Option("--size", help="Height and width of the images, 512x1024; the windows' by default.")
]
GraphFile = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]


def tune(
    run: Annotated[Path, typer.Argument(help="A network with auxiliary heads: a folder as for predict, or demo.")],
    data: Manifest,
    speedup: Annotated[float | None, typer.Option(help="Budget: so many times as fast as unpaused.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Budget: at most so many points of mIoU below the same network unpaused.")
    ] = None,
    images_per_second: Annotated[float | None, typer.Option(help="Budget: so many images/s.")] = None,
    split: Annotated[
        str, typer.Option(help="Split to choose on, whose mIoU is then flattered; train where val is reported.")
    ] = "val",
    images: Annotated[int | None, typer.Option(help="Images of the split to choose on; all by default.")] = None,
    batch: Annotated[int, typer.Option(help="Images per forward pass while speed is measured.")] = 1,
    criterion: Annotated[str, typer.Option(help="What decides which patches pause.")] = "entropy",
    locations: Annotated[int, typer.Option(help="Pause after up to so many blocks.")] = 2,
    scales: Annotated[
        str,
        typer.Option(help="Shares of the image's height and width to search on, as 1,0.9,0.8; the whole by default."),
    ] = "1",
    evaluation: Annotated[
        str, typer.Option(help="As `evaluation` of an experiment (windows, number type), YAML file or text in braces.")
    ] = "{}",
    quick: Annotated[bool, typer.Option("--quick", help="Few and short rounds of timing.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or a CUDA device.")] = "auto",
    threads: Threads = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Choose where and how much to pause for one budget: a speed-up, a drop in mIoU, or images/s."""
    from paumer.config import Throughput, parse
    from paumer.deployment.settings import TuneSettings

    options = {"speedup": speedup, "max_drop": max_drop, "images_per_second": images_per_second, "split": split}
    options |= {"images": images, "batch": batch, "criterion": criterion, "locations": locations, "scales": scales}
    measuring = {"device": device, "evaluation": _seen(evaluation)}
    measuring |= {"throughput": Throughput().quick()} if quick else {}
    settings = on_gpu(parse(TuneSettings, options | measuring, "tune"))
    from paumer.deployment.tuning.tune import tune

    use_threads(threads)
    tune(settings, data, run, output)


def predict(
    run: Run,
    images: Annotated[Path, typer.Option("--images", "-i", help="An image, or a folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    form: Annotated[
        list[str],
        typer.Option(
            "--format", help="overlay (the usual one), ids, or cityscapes (label ids for its server); several times."
        ),
    ] = [],  # noqa: B006
    pause_maps: Annotated[
        bool, typer.Option("--pause-maps", help="Also draw which patch paused after which block.")
    ] = False,
    schedule: Schedule = None,
    strategy: Strategy = "pause",
    criterion: Criterion = "",
    speedup: Speedup = None,
    compare: Annotated[str, typer.Option(help="Operating points to draw side by side: dense,3:0.4.")] = "",
    data: DataOfRun = None,
    evaluation: Seen = None,
    device: Annotated[str, typer.Option(help="auto, cpu or a CUDA device.")] = "auto",
    threads: Threads = None,
) -> None:
    """Predict images of your own: pictures, class ids, pause maps, comparisons."""
    from paumer.config import parse
    from paumer.deployment.settings import PredictSettings

    options = {"formats": form, "pause_maps": pause_maps, "schedule": schedule, "strategy": strategy}
    options |= {"criterion": criterion, "speedup": speedup, "compare": compare, "device": device}
    settings = on_gpu(parse(PredictSettings, options, "predict"))
    from paumer.deployment.predict import predict_images

    use_threads(threads)
    predict_images(settings, run, images, output, data, _seen(evaluation))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")] = Path("demo.png"),
    image: Annotated[
        Path | None, typer.Option("--image", "-i", help="An image of your own; by default scenes are drawn.")
    ] = None,
    schedules: Annotated[
        str, typer.Option(help="Operating points to compare with dense; the picture shows the first.")
    ] = "1:0.4,1:0.2,3:0.4",
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn scenes.")] = 0,
    threads: Threads = None,
) -> None:
    """See within a minute what pausing does, with a small network that comes with the package."""
    from paumer.deployment.demo import demo

    use_threads(threads)
    demo(output, image, [part.strip() for part in schedules.split(",") if part.strip()], seed)


@export.callback()
def _export() -> None:
    """Write a trained network for others to use."""


@export.command()
def hub(
    run: Run,
    output: Folder,
    data: DataOfRun = None,
    evaluation: Seen = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights as float16, half the size; they run as float32.")
    ] = False,
    speeds: Annotated[bool, typer.Option(help="Tell measured images/s and speed-ups in the card.")] = True,
    note: Annotated[str, typer.Option(help="How the network was made, for the card; Markdown.")] = "",
) -> None:
    """Write weights, description and model card as the Hugging Face hub has them; uploading is up to you."""
    from paumer.deployment.export import export_to_hub

    export_to_hub(run, output, data, _seen(evaluation), half=half, speeds=speeds, note=note)


@export.command("torch")
def export_torch(
    run: Run,
    output: GraphFile,
    schedule: Schedule = None,
    strategy: Strategy = "pause",
    criterion: Criterion = "",
    speedup: Speedup = None,
    size: Height = None,
    data: DataOfRun = None,
    evaluation: Seen = None,
) -> None:
    """Write the network at one operating point as torch.export saves it (.pt2), and check the file."""
    settings = _graph(schedule, strategy, criterion, speedup, size)
    from paumer.deployment import export as graphs

    graphs.export_torch(settings, run, output, data, _seen(evaluation))


@export.command("onnx")
def export_onnx(
    run: Run,
    output: GraphFile,
    schedule: Schedule = None,
    strategy: Strategy = "pause",
    criterion: Criterion = "",
    speedup: Speedup = None,
    size: Height = None,
    data: DataOfRun = None,
    evaluation: Seen = None,
) -> None:
    """Write the network at one operating point as an ONNX model, and check the file with onnxruntime."""
    settings = _graph(schedule, strategy, criterion, speedup, size)
    from paumer.deployment import export as graphs

    graphs.export_onnx(settings, run, output, data, _seen(evaluation))


def _graph(schedule: str | None, strategy: str, criterion: str, speedup: float | None, size: str | None) -> Any:
    """What a graph is to be of."""
    from paumer.config import parse
    from paumer.deployment.settings import GraphSettings

    options = {"schedule": schedule, "strategy": strategy, "criterion": criterion, "speedup": speedup, "size": size}
    return parse(GraphSettings, options, "export")


def _seen(text: str | None) -> Any:
    """The evaluation that was named, perhaps inside a whole experiment."""
    from paumer.config import read_evaluation
    from paumer.system.files import read_yaml

    if text is None:
        return None
    content, origin = read_yaml(text)
    return read_evaluation(content.get("evaluation", {}) if "backbones" in content else content, origin)
