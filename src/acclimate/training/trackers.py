"""Where the numbers and pictures of a training are shown while it runs: TensorBoard, and perhaps W&B or MLflow."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import UserError

TrackerName = Literal["wandb", "mlflow"]
PROJECT = "acclimate"
"""What runs are filed under."""
Pictures = Mapping[str, NDArray[np.uint8]]
"""Name -> RGB picture (H, W, 3)."""


class Tracker(ABC):
    """Shows a training's numbers and pictures by step."""

    @abstractmethod
    def numbers(self, values: Mapping[str, float], step: int) -> None: ...

    @abstractmethod
    def pictures(self, pictures: Pictures, step: int) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class TensorBoard(Tracker):
    """Event files in ``tensorboard/`` of the stage's folder.

    Args:
        folder: the stage's.
        first: the first step to come: what an interrupted training wrote from there on is forgotten.
    """

    def __init__(self, folder: Path, *, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, pictures: Pictures, step: int) -> None:
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class Lightning(Tracker):
    """W&B or MLflow by Lightning's loggers, which read the usual environment variables (``WANDB_MODE`` and its like).

    Args:
        kind: which.
        folder: where what is written offline goes.
        name: of the training.

    Raises:
        UserError: the library is not installed, or does not start.
    """

    def __init__(self, kind: TrackerName, folder: Path, *, name: str) -> None:
        self.kind = kind
        folder.mkdir(parents=True, exist_ok=True)
        try:
            from pytorch_lightning import loggers

            if kind == "wandb":
                self._logger: Any = loggers.WandbLogger(project=PROJECT, name=name, save_dir=str(folder))
            else:
                place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
                self._logger = loggers.MLFlowLogger(experiment_name=PROJECT, run_name=name, tracking_uri=place)
            _ = self._logger.experiment  # it is this that connects
        except ImportError as error:
            raise UserError(
                f"training.tracker={kind} needs packages that are not installed ({error}): "
                f"pip install 'acclimate[{kind}]', or remove the key"
            ) from error
        except Exception as error:
            raise UserError(
                f"training.tracker={kind} does not start: {error}; mend that (WANDB_MODE=offline needs no network), or "
                "remove the key"
            ) from error

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(values), step=step)

    def pictures(self, pictures: Pictures, step: int) -> None:
        for name, picture in pictures.items():
            if self.kind == "wandb":
                self._logger.log_image(name, [picture], step=step)
            else:
                key = re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)  # MLflow takes no other characters
                self._logger.experiment.log_image(self._logger.run_id, picture, key=key, step=step)

    def close(self) -> None:
        self._logger.finalize("success")
        if self.kind == "wandb":
            self._logger.experiment.finish()
