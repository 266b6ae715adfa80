"""The configuration of data and networks."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from paumer.config.base import NAME, Section, Size, load_yaml
from paumer.config.idle import OnlyWith
from paumer.system import plugins
from paumer.system.errors import PaumerError


class Scenes(Section):
    """The procedural street scenes that the default experiment draws."""

    train_images: int = Field(2048, ge=1, description="Training images to draw.")
    val_images: int = Field(256, ge=1, description="Validation images to draw.")
    select_images: int = Field(0, ge=0, description="Images of split `select` to draw, for data.select_split.")
    height: int = Field(96, ge=32, description="Image height in pixels.")
    width: int = Field(192, ge=32, description="Image width in pixels.")
    seed: int = Field(0, ge=0, description="Same seed, same bytes.")

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without images to select on, the text as before there were any, so that nothing is drawn a second time."""
        return {name: value for name, value in dump(self).items() if (name, value) != ("select_images", 0)}


DATASETS = ("scenes", "cityscapes", "ade20k", "camvid", "idd_lite", "nyuv2", "folder")


def dataset_names() -> tuple[str, ...]:
    """The datasets of this package, and those of plug-ins."""
    return (*DATASETS, *plugins.DATASETS)


class Data(Section):
    """Which images to train and evaluate on."""

    dataset: str = Field(
        "scenes",
        description="Dataset; `folder` is data of one's own, laid out as docs/data.md describes.",
        json_schema_extra=lambda schema: schema.update(enum=list(dataset_names())),
    )
    folder: str | None = Field(
        None,
        description="Folder of the dataset; without it the environment variable PAUMER_DATA. Without both it is "
        "fetched, under the results (`cityscapes` by a login). `scenes` are drawn in it, or under the results.",
    )
    train_split: str = Field("train", min_length=1, description="Split to train on.")
    eval_split: str = Field("val", min_length=1, description="Split to evaluate and measure on.")
    select_split: str | None = Field(
        None, min_length=1, description="Split to choose operating points on, which is neither trained nor reported on."
    )
    scenes: Scenes = Field(default_factory=Scenes, description="Only for `dataset: scenes`.")

    @field_validator("dataset")
    @classmethod
    def _known(cls, dataset: str) -> str:
        if dataset not in dataset_names():
            raise ValueError(f"{dataset!r} is unknown; use {', '.join(dataset_names())}")
        return dataset

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are used, each once."""
        named = (self.train_split, self.eval_split, self.select_split)
        return tuple(dict.fromkeys(split for split in named if split is not None))

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for name in ("train_split", "eval_split"):
            if getattr(self, name) == self.select_split:
                raise ValueError(f"select_split: is {self.select_split}, and so is {name}; name another split, or none")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a split to select on, the text that stage `data` is given is what it was before there was one."""
        content = dump(self)
        if self.select_split is None:
            content.pop("select_split", None)
        return content


class Decoder(Section):
    """From tokens to class logits."""

    name: Literal["linear", "mask_transformer"] = Field("linear", description="Decoder, as Segmenter defines it.")
    layers: Annotated[int, OnlyWith("name", "mask_transformer")] = Field(
        2, ge=1, description="Blocks of the mask transformer."
    )
    dropout: Annotated[float, OnlyWith("name", "mask_transformer")] = Field(
        0.0, ge=0, lt=1, description="Share of the values that training drops in the blocks of the mask transformer."
    )
    sub_patch: Annotated[int, OnlyWith("name", "linear")] = Field(
        1,
        ge=1,
        le=8,
        description="The linear decoder predicts sub_patch x sub_patch cells a patch (1: as Segmenter).",
    )


class Heads(Section):
    """Auxiliary heads, which predict classes from intermediate tokens."""

    blocks: tuple[int, ...] = Field(
        (3, 6, 9), min_length=1, description="A head reads the tokens after each of these blocks."
    )
    weight: float = Field(0.4, ge=0, description="Weight of the mean auxiliary loss beside the final loss.")
    gradient: float = Field(
        1.0, ge=0, le=1, description="Share of the gradient that flows from heads and adapters back to the encoder."
    )
    adapter: int = Field(
        0,
        ge=0,
        description="Hidden channels of each head's adapter, which carries patches to the decoder's space; 0: none.",
    )
    layers: Annotated[int, OnlyWith("adapter")] = Field(1, ge=1, description="Layers of each adapter.")
    context: int = Field(
        0, ge=0, description="Side of the neighbourhood that an adapter sees, an odd number of patches; 0: the patch."
    )
    classifier: Literal["own", "decoder"] = Field(
        "own",
        description="What predicts: a linear layer of each head, or the network's linear decoder, behind the head's "
        "adapter; what is said of a patch is then what it gets if it pauses.",
    )

    @field_validator("blocks")
    @classmethod
    def _rising(cls, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if any(block < 1 for block in blocks) or list(blocks) != sorted(set(blocks)):
            raise ValueError("must be rising block numbers, counted from 1")
        return blocks

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.context and (self.context % 2 == 0 or not self.adapter):
            raise ValueError("context: must be odd, and needs an adapter (adapter above 0)")
        if self.classifier == "decoder" and not self.adapter:
            raise ValueError("classifier: the decoder reads what an adapter makes; set adapter above 0, or use own")
        return self


Channels = tuple[float, float, float]


class Statistics(Section):
    """By what the red, green and blue of an image, from 0 to 1, are shifted and scaled."""

    mean: Channels = Field(description="Mean of red, green and blue.")
    std: Channels = Field(description="Their standard deviation.")

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError("must be above 0")
        return std

    @field_validator("mean", "std")
    @classmethod
    def _of_one(cls, values: Channels) -> Channels:
        if max(values) > 1:
            raise ValueError("is of images from 0 to 1; where those are from 0 to 255, divide it by 255")
        return values


STATISTICS: dict[Literal["imagenet", "half"], Statistics] = {
    "imagenet": Statistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "half": Statistics(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
}
Normalization = Annotated[
    Annotated[Literal["auto", "imagenet", "half"], Tag("<name>")] | Annotated[Statistics, Tag("<values>")],
    Discriminator(lambda given: "<name>" if isinstance(given, str) else "<values>"),
]


def statistics_of(normalization: Normalization) -> Statistics:
    """Mean and standard deviation by which images are normalised; `auto`, of a network from scratch, is ImageNet's."""
    if isinstance(normalization, Statistics):
        return normalization
    return STATISTICS["imagenet" if normalization == "auto" else normalization]


class Backbone(Section):
    """A plain vision transformer from timm."""

    name: str = Field(pattern=NAME, description="Its name in files and tables.")
    architecture: str = Field("vit_tiny_patch16_384", description="timm's name, with its tag for hub weights.")
    options: dict[str, int | float | bool | str] = Field(
        default_factory=dict, description="Passed to `timm.create_model` (`patch_size`, `embed_dim`, `depth`, ...)."
    )
    weights: str = Field(
        "none",
        description="`none` (from scratch), `hub` (timm's pretrained weights), a file of such weights, also within a "
        "checkpoint (of mmsegmentation, Lightning, DINO), `demo` (the network that comes with the package), or the "
        "folder of a trained network. From a network decoder and heads start too where they have the same shapes. "
        "With `options: {depth: 8}` all of these give their first 8 blocks.",
    )
    positions: Literal["learned", "sincos"] = Field(
        "learned", description="How position embeddings start; `sincos` helps a network trained from scratch."
    )
    normalization: Normalization = Field(
        "auto",
        description="Input statistics: those of the weights, as timm or the trained network says (`auto`; without "
        "weights ImageNet's), ImageNet's, mean = std = 0.5 (`half`), or `{mean: [...], std: [...]}`.",
    )
    decoder: Decoder | None = Field(None, description="Its decoder; without it the experiment's.")
    heads: Heads | None = Field(None, description="Its auxiliary heads; without them the experiment's.")
    control_for: str | None = Field(
        None,
        description="Name of a larger backbone: this one is only trained plainly, and compared with it as a baseline.",
    )

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels, from the options or timm's name.

        Raises:
            PaumerError: the options hold no usable one.
        """
        named = re.search(r"_patch(\d+)", self.architecture.split(".")[0])
        size = self.options.get("patch_size", int(named[1]) if named else 16)
        if not isinstance(size, int) or size < 1:
            raise PaumerError(f"backbones.{self.name}.options: patch_size must be a whole number above 0, not {size!r}")
        return size

    @model_validator(mode="after")
    def _keeps_positions(self) -> Self:
        if self.positions == "sincos" and self.weights != "none":
            raise ValueError(
                f"positions: sincos would overwrite those of weights: {self.weights}; leave it out, or take none"
            )
        return self

    @field_validator("options")
    @classmethod
    def _of_colours(cls, options: dict[str, Any]) -> dict[str, Any]:
        channels = options.get("in_chans", 3)
        if type(channels) is not int or channels != 3:
            raise ValueError(
                f"in_chans: images are read as RGB, grey ones too, so networks have 3 channels, not {channels}; "
                "leave it out"
            )
        return options

    @field_validator("options", mode="before")
    @classmethod
    def _numbers(cls, options: Any) -> Any:
        """Read numbers that arrive as text, as Snakemake's `--config` hands them over."""
        if not isinstance(options, dict):
            return options
        return {key: _number(key, value) if isinstance(value, str) else value for key, value in options.items()}


def _number(key: str, text: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


class NetworkChoice:
    """Which decoder and heads each backbone of a section has: a mixin of sections with these three fields."""

    if TYPE_CHECKING:
        backbones: tuple[Backbone, ...]
        decoder: Decoder
        heads: Heads

    @property
    def main_backbones(self) -> list[Backbone]:
        """The backbones that are studied, without their controls."""
        return [backbone for backbone in self.backbones if backbone.control_for is None]

    def controls(self, backbone: Backbone) -> list[Backbone]:
        """The smaller backbones that a studied one is compared with."""
        return [item for item in self.backbones if item.control_for == backbone.name]

    def decoder_of(self, backbone: Backbone) -> Decoder:
        """The decoder of a backbone: its own, or that of all."""
        return backbone.decoder or self.decoder

    def heads_of(self, backbone: Backbone) -> Heads | None:
        """The auxiliary heads of a backbone: its own, or those of all; None for a control."""
        return None if backbone.control_for else backbone.heads or self.heads


def check_heads(blocks: tuple[int, ...], depth: int) -> None:
    """Refuse heads beyond the last block.

    Raises:
        PaumerError: a head would read tokens after a block that the network lacks.
    """
    for block in blocks:
        if block > depth:
            raise PaumerError(f"heads.blocks: no block {block} in a network of {depth} blocks; use 1 to {depth}")


class NetworkSettings(Section):
    """All that a network's shape depends on; stored beside its weights."""

    backbone: Backbone
    decoder: Decoder
    heads: Heads | None
    classes: int
    class_frequencies: tuple[float, ...] = ()
    image_size: Size
    drop_path: float = 0.0
