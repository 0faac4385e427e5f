"""One optimisation step: loss, gradient penalty, centroids."""

import torch
from torch import Tensor
from torch.nn import functional

from inspectd_tools.device import in_bf16
from inspectd_tools.distributed import average_gradients, count, total
from inspectd_tools.networks.classifier import Classifier, SoftmaxHead
from inspectd_tools.networks.duq import DuqHead, duq_loss, duq_loss_of_kernel, gradient_penalty
from inspectd_tools.settings import TrainingSettings


def training_step(
    classifier: Classifier,
    settings: TrainingSettings,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    class_weights: Tensor,
) -> Tensor:
    """One step with normalised images (N, C, H, W) and labels (N,). Returns the loss, a scalar for which a GPU need not be waited.

    Distances and loss are computed in float32. Convolutions compute in bf16 if the device has it, but in float32 with a
    gradient penalty. Measured with random weights and 8 images: in bf16 the penalty was wrong by 1 % (DuqCnn) and 9 %
    (MobileNetV2), and the gradient of the weights by 14 % and 121 %. A DUQ head then moves its centroids with the features of the
    same batch in evaluation mode, as in the paper.
    """
    one_hot = functional.one_hot(labels, len(settings.classes)).float()
    classifier.train()
    inputs.requires_grad_(settings.gp_const is not None)
    head = classifier.trained_head
    log_scores = head(_features(classifier, inputs, may_round=settings.gp_const is None))
    loss = (class_weights[labels] * losses(head, log_scores, one_hot, settings)).mean()
    if settings.gp_const is not None:
        loss = loss + settings.gp_const * gradient_penalty(log_scores, inputs)
    optimizer.zero_grad()
    loss.backward()
    average_gradients(classifier)
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), settings.clip_norm)
    optimizer.step()
    if isinstance(head, DuqHead):
        classifier.eval()
        with torch.no_grad():
            head.update_centroids(_features(classifier, inputs.detach(), may_round=True), one_hot)
    return total(loss.detach()) / count()


def losses(head: DuqHead | SoftmaxHead, log_scores: Tensor, one_hot: Tensor, settings: TrainingSettings) -> Tensor:
    """(N,): binary cross-entropy of the kernels for DUQ, cross-entropy for a softmax."""
    targets = one_hot.lerp(torch.full_like(one_hot, 1 / one_hot.shape[1]), settings.label_smoothing)
    if isinstance(head, DuqHead):
        return (
            duq_loss_of_kernel(log_scores, targets)
            if settings.criterion == "BCE_of_K"
            else duq_loss(log_scores, targets)
        )
    return -(targets * log_scores).sum(dim=1)


def _features(classifier: Classifier, inputs: Tensor, *, may_round: bool) -> Tensor:
    """(N, features) float32. `may_round`: the convolutions compute in bf16 if the device has it."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=may_round and in_bf16(inputs.device)):
        return classifier.features(inputs).float()
