"""What engine.yaml says of the network."""

import pytest

pytest.importorskip("torch")

from inspectd_tools.deploy.bundle import architecture
from inspectd_tools.settings import load_settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["epochs=5", "criterion=BCE", "head_fit=gradient"], "MobileNetV2 (trained as DUQ), DUQ head"),
        (
            ["epochs=5", "criterion=BCE", "head_fit=means"],
            "MobileNetV2 (trained as DUQ), DUQ head, centroids moved to the class means",
        ),
        (
            ["epochs=5", "criterion=CrossEntropyLoss", "gp_const=null", "head_fit=covariance"],
            "MobileNetV2 (trained with softmax), DUQ head fitted to class covariances",
        ),
        (
            ["epochs=0", "criterion=CrossEntropyLoss", "gp_const=null", "head_fit=covariance"],
            "MobileNetV2 (pretrained), DUQ head fitted to class covariances",
        ),
        (
            ["epochs=5", "criterion=CrossEntropyLoss", "gp_const=null", "RBF_flag=false"],
            "MobileNetV2 (trained with softmax), softmax head",
        ),
    ],
)
def test_the_architecture_says_what_was_trained_and_what_was_fitted(changes, said):
    assert architecture(load_settings("filter-label", ["model=MobileNetV2", *changes])) == said
