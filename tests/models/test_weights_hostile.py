"""Weights that mean harm or lie about themselves: nothing of them runs, nothing is allocated, one line refuses them."""

import argparse
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from hostile import NO_PLAIN_FILES, files, no_plain_files, refusal
from safetensors.torch import save_file
from small_vits import TINY, save_timm
from tiers import first

from paumer.models.backbones import create_vit
from paumer.models.build import build, load_run, load_weights, save_weights
from paumer.models.published import load_segmenter
from paumer.models.weights import refuse_bomb, require_weights
from paumer.system.files import write_json
from paumer.training import checkpoints

VARIANT = """
net_kwargs: {normalization: vit, image_size: 32, patch_size: 8, d_model: 32, n_heads: 2, n_layers: 2, n_cls: 5,
  decoder: {name: linear}}
"""


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.folder,)


class Evaluation(Attack):
    """Evaluates Python when it is unpickled."""

    def __reduce__(self) -> Any:
        return eval, (f"__import__('os').mkdir({str(self.folder)!r})",)


def laughs() -> Any:
    """A billion references in a small pickle."""
    content: Any = ["laugh"]
    for _ in range(30):
        content = [content, content]
    return content


def attacks(folder: Path) -> dict[str, bytes]:
    """Pickles of every kind of file that torch has ever written."""
    harm, evaluation = Attack(folder), Evaluation(folder)
    target = folder.parent / "written.pth"
    found = {"a bare pickle": pickle.dumps(harm), "an old pickle": pickle.dumps({"model": harm}, protocol=0)}
    for name, content in {
        "a checkpoint": {"model": harm},
        "a checkpoint that evaluates": {"model": {"weight": evaluation}},
        "a key": {"model": {}, "args": harm},
        "settings": {"model": {}, "args": argparse.Namespace(lr=harm)},
        "references": {"model": laughs()},
        "a class": {"model": Attack},
    }.items():
        for zipped in (True, False):
            torch.save(content, target, _use_new_zipfile_serialization=zipped)
            found[f"{name}, {'new' if zipped else 'old'}"] = target.read_bytes()
    target.unlink()
    return found


def test_no_code_of_a_checkpoint_runs(describe, tmp_path: Path) -> None:
    """Read as a backbone, as a published network, as a checkpoint of training, as trained weights."""
    (tmp_path / "variant.yml").write_text(VARIANT)
    for content in attacks(tmp_path / "attacked").values():
        for file in ("vit.pth", "vit.bin", "vit.safetensors", "vit.npz", "checkpoint.pth", "last.pt"):
            (tmp_path / file).write_bytes(content)
        before = files(tmp_path)
        for file in ("vit.pth", "vit.bin", "vit.safetensors", "vit.npz"):
            assert file in refusal(create_vit, describe(weights=str(tmp_path / file)))
        assert "checkpoint.pth" in refusal(load_segmenter, tmp_path)
        assert "last.pt" in refusal(checkpoints.load, tmp_path, {})
        assert "vit.safetensors" in refusal(load_weights, tmp_path / "vit.safetensors")
        assert files(tmp_path) == before


def test_old_pickles_of_numpy_run_nothing(describe, tmp_path: Path) -> None:
    np.savez(tmp_path / "vit.npz", **{"embedding/kernel": np.array([Attack(tmp_path / "attacked")], dtype=object)})
    assert "vit.npz" in refusal(create_vit, describe(weights=str(tmp_path / "vit.npz")))
    assert files(tmp_path) == {"vit.npz"}


# safetensors: the length of the header, the header, the data


def written(header: Any, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


GIGA = 10**9
LIES: dict[str, bytes] = {
    "an empty file": b"",
    "half a length": b"\x01\x00\x00",
    "a length of 2**63": written({}, length=2**63),
    "a length of 2**64 - 1": written({}, length=2**64 - 1),
    "a length beyond the file": written({}, length=10**6),
    "a length of 100 MB": written({}, length=10**8),
    "no header": written(b"", length=0),
    "no JSON": written(b"{'a'"),
    "no text": written(b"\xff\xfe\xfd"),
    "a list": written([]),
    "a number": written(b"7"),
    "deep nesting": written(b"[" * 100_000),
    "text for a tensor": written({"a": "b"}),
    "no offsets": written({"a": {"dtype": "F32", "shape": [4]}}),
    "an end beyond the file": written({"a": tensor([8], 0, 32)}),
    "an end far beyond the file": written({"a": tensor([GIGA], 0, 4 * GIGA)}),
    "a shape of 10**9 values in 16 bytes": written({"a": tensor([GIGA], 0, 16)}),
    "a shape of 10**27 values": written({"a": tensor([GIGA, GIGA, GIGA], 0, 16)}),
    "a shape that overflows to 4": written({"a": tensor([2**62, 4, 4], 0, 16)}),
    "a shape below 0": written({"a": tensor([-4], 0, 16)}),
    "a shape of fractions": written({"a": {"dtype": "F32", "shape": [4.5], "data_offsets": [0, 16]}}),
    "an end before the start": written({"a": tensor([4], 16, 0)}),
    "a start below 0": written({"a": tensor([8], -16, 16)}),
    "overlapping tensors": written({"a": tensor([4], 0, 16), "b": tensor([4], 0, 16)}),
    "overlapping in part": written({"a": tensor([2], 0, 8), "b": tensor([3], 4, 16)}),
    "a hole": written({"a": tensor([2], 0, 8), "b": tensor([1], 12, 16)}),
    "data that belongs to nothing": written({"a": tensor([2], 0, 8)}),
    "an unknown type": written({"a": tensor([4], 0, 16, "F33")}),
    "whole numbers": written({"a": tensor([4], 0, 16, "I32")}),
    "truth values": written({"a": tensor([16], 0, 16, "BOOL")}),
    "truncated data": written({"a": tensor([4], 0, 16)}, data=bytes(9)),
}


@pytest.mark.parametrize("name", LIES)
def test_headers_that_lie_are_refused(describe, tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(LIES[name])
    assert refusal(load_weights, path).startswith(f"{path}: weights cannot be read (")
    assert refusal(create_vit, describe(weights=str(path))).startswith("backbones.net.weights: ")


@pytest.fixture
def run(describe, tmp_path: Path) -> Path:
    """A trained run, as far as loading it goes."""
    settings = describe()
    save_weights(build(settings, pretrained=False), tmp_path / "run/model.safetensors")
    write_json(tmp_path / "run/run.json", {"network": settings.model_dump(mode="json")})
    return tmp_path / "run"


@pytest.mark.parametrize("seed", first(range(150), 10))
def test_damaged_weights_are_read_or_refused(run: Path, seed: int) -> None:
    """Bytes of the header are changed, the end is cut off or grows."""
    draw = np.random.default_rng(seed)
    path = run / "model.safetensors"
    content = bytearray(path.read_bytes())
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for place in draw.integers(0, header, int(draw.integers(1, 6))):
        content[place] = draw.integers(0, 256)
    path.write_bytes(bytes(content)[: int(draw.integers(header, 3 * len(content)))])
    try:
        load_run(run)
    except Exception:
        assert str(run) in refusal(load_run, run)


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "another shape": lambda value: value.new_zeros(3),
    "whole numbers": lambda value: value.to(torch.int64),
    "complex numbers": lambda value: value.to(torch.complex64),
    "transposed": lambda value: value.reshape(-1, 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_weights_of_other_shapes_and_types_are_refused(run: Path, name: str) -> None:
    weights = load_weights(run / "model.safetensors")
    first = next(key for key in weights if key.endswith("qkv.weight"))
    save_file(weights | {first: CHANGES[name](weights[first]).contiguous()}, run / "model.safetensors")
    assert str(run / "model.safetensors") in refusal(load_run, run)


def test_weights_of_half_precision_are_weights(run: Path) -> None:
    weights = load_weights(run / "model.safetensors")
    save_file({name: value.to(torch.bfloat16) for name, value in weights.items()}, run / "model.safetensors")
    model, _ = load_run(run)
    assert all(value.dtype == torch.float32 for value in model.parameters())


def test_tensors_that_repeat_one_value_are_refused(describe, tmp_path: Path) -> None:
    """A few bytes that say 4 TB; resampling them would allocate that."""
    vit = save_timm(tmp_path / "vit.safetensors").state_dict()
    huge = vit | {"pos_embed": torch.zeros(1).expand(1, GIGA, 1000)}
    torch.save(huge, tmp_path / "vit.pth")
    assert "pos_embed claims more values" in refusal(create_vit, describe(weights=str(tmp_path / "vit.pth")))
    with pytest.raises(ValueError, match="no weights"):
        require_weights({"a": torch.zeros(1, dtype=torch.int64)})


@pytest.mark.parametrize("file", ["vit.pth", "vit.npz"])
def test_archives_that_unpack_to_far_more_are_refused(describe, tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    with ZipFile(path, "w", ZIP_DEFLATED) as archive, archive.open("archive/data/0", "w", force_zip64=True) as member:
        for _ in range(70):
            member.write(bytes(2**20))
    assert path.stat().st_size < 10**6
    assert "it unpacks to 73400320 bytes" in refusal(create_vit, describe(weights=str(path)))
    torch.save({"a": torch.zeros(10**5)}, path)
    refuse_bomb(path)


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_file_is_refused(describe, tmp_path: Path, kind: str) -> None:
    (tmp_path / "variant.yml").write_text(VARIANT)
    for name in ("vit.pth", "vit.npz", "vit.safetensors", "checkpoint.pth"):
        put = no_plain_files(tmp_path / name)[kind]
        put()
    for name in ("vit.pth", "vit.npz", "vit.safetensors"):
        assert name in refusal(create_vit, describe(weights=str(tmp_path / name), options={**TINY, "patch_size": 8}))
    assert "checkpoint.pth" in refusal(load_segmenter, tmp_path)
    assert "vit.safetensors" in refusal(load_weights, tmp_path / "vit.safetensors")
