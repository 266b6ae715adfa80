"""A pinhole camera over a flat street.

World coordinates in metres: x to the right, y up from the ground, z ahead of the camera. Pixels: u right, v down.
"""

from dataclasses import dataclass

import numpy as np

NEAREST = 1.0  # Points closer than this are moved here: they lie outside the view anyway.


@dataclass(frozen=True)
class Camera:
    """Where world points fall on a canvas of `height` x `width` pixels."""

    height: int
    width: int
    focal: float
    horizon: float
    centre: float
    elevation: float
    curve: float

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The pixel (u, v) of a world point; a street that bends moves far points sideways."""
        z = max(z, NEAREST)
        scale = self.focal / z
        return self.centre + scale * (x + self.curve * z * z), self.horizon + scale * (self.elevation - y)

    def sees_right_flank(self, x: float, z: float) -> bool:
        """Whether a plane along the street at `x` and `z` is left of the camera, so that its right flank shows."""
        return x + self.curve * z * z < 0


def random_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """A camera on a car's roof rack or dashboard, aimed along the street within a few degrees."""
    # Both sides count, so that narrow and tall canvases show a street as well.
    reach = 0.5 * width + height
    return Camera(
        height=height,
        width=width,
        focal=reach * rng.uniform(0.9, 1.15),
        horizon=height * rng.uniform(0.37, 0.47),
        centre=width * rng.uniform(0.36, 0.64),
        elevation=rng.uniform(1.25, 1.9),
        curve=rng.normal(0.0, 0.0008),
    )
