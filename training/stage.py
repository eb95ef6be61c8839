"""A stage of training: what learns, from what, and for how long. `training.train.fit` runs it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from training.evaluation import fit_temperature
from training.network import Outputs


@dataclass(frozen=True)
class Stage:
    """What is trained, and on what.

    `train_logits` maps the rows [b] of a batch to logits [b, classes]; `valid_logits` gives those of all validation
    images [n, classes]. Only the parameters of `module` that require gradients learn.
    """

    name: str
    module: nn.Module
    train_logits: Callable[[Tensor], Tensor]
    valid_logits: Callable[[], Tensor]
    train_labels: Tensor
    valid_labels: Tensor
    epochs: int
    batch_size: int
    learning_rate: float

    def validate(self) -> dict[str, float]:
        """`valid_loss`, the plain cross-entropy, and `valid_top1`, a share from 0 to 1."""
        return self._measure(self._logits())

    def calibrated(self) -> dict[str, float]:
        """The same with a temperature fitted: what two stages can be compared by, which may differ in confidence."""
        logits = self._logits()
        outputs = Outputs(logits, self.valid_labels, torch.arange(len(logits)))
        return self._measure(logits / fit_temperature(outputs))

    def _logits(self) -> Tensor:
        self.module.eval()
        with torch.no_grad():
            return self.valid_logits()

    def _measure(self, logits: Tensor) -> dict[str, float]:
        right = logits.argmax(dim=1) == self.valid_labels
        return {
            "valid_loss": cross_entropy(logits, self.valid_labels).item(),
            "valid_top1": right.float().mean().item(),
        }

    def copy_of_state(self) -> dict[str, Tensor]:
        """The module's tensors as they are now."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
