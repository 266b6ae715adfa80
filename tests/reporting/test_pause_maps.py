"""What the pause maps of the report show."""

import torch

from paumer.config import Backbone, Decoder, Heads
from paumer.data.transforms import normalize
from paumer.models.build import build
from paumer.reporting.pause_maps import pause_map
from paumer.schedule import Schedule
from paumer.stages import NetworkSettings
from paumer.strategies.pause import Pause


def test_a_map_tells_entropy_pauses_and_prediction() -> None:
    torch.manual_seed(0)
    options = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
    network = NetworkSettings(
        backbone=Backbone(name="net", architecture="vit_tiny_patch16_224", options=options),
        decoder=Decoder(),
        heads=Heads(blocks=(2, 3)),
        classes=5,
        image_size=(32, 64),
    )
    model, image = build(network).eval(), torch.randint(256, (3, 32, 64), dtype=torch.uint8)
    schedule = Schedule.parse("2:0.25+3:0.5")
    seen = pause_map(model, image, schedule, "half")
    assert seen.entropy.shape == seen.paused_at.shape == (4, 8)
    assert [int((seen.paused_at == number).sum()) for number in (0, 1, 2)] == [8, 8, 16]
    assert seen.entropy[seen.paused_at == 1].max() <= seen.entropy[seen.paused_at != 1].min()
    with torch.inference_mode():
        logits = model(normalize(image[None], "half"), Pause(schedule))
    assert (torch.from_numpy(seen.prediction) == logits[0].argmax(dim=0)).float().mean() > 0.999
