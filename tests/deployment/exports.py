"""What tests of exported files share: operating points, images, and which patches pause."""

from pathlib import Path

import torch
from torch import Tensor

from paumer.data.datasets import Sample
from paumer.data.reading import read_image
