"""PAUMER: patch pausing for semantic segmentation with vision transformers, and a fair benchmark around it.

The package follows the pipeline, one subpackage a stage: `config` -> `data` -> `models` and `strategies` -> `training`
-> `evaluation` and `measurement` -> `reporting`. Importing `paumer` imports no torch.
"""

__version__ = "0.1.0"
