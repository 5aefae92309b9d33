import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engines.losses import ccc_loss, five_vector, multi_task_loss
from engines.metrics import ccc
from engines.models import HeadOutput

NAN = float("nan")


def output(n: int = 6, seed: int = 1) -> HeadOutput:
    random = torch.Generator().manual_seed(seed)
    numbers = torch.rand(n, 14, generator=random) * 2 - 1
    return HeadOutput(numbers[:, :7], numbers[:, 7], numbers[:, 8], numbers[:, 9:])


def targets(n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    rated = torch.rand(2, n, generator=random) * 2 - 1
    return torch.arange(n) % 7, rated[0], rated[1]


def test_the_five_vector_has_absolute_differences() -> None:
    vector = five_vector(torch.tensor([0.5]), torch.tensor([-0.1]))
    assert torch.allclose(vector, torch.tensor([[-0.1, 0.5, 0.2, 0.3, 0.3]]))


def test_the_sum_is_weighted_as_the_paper_says() -> None:
    parts = multi_task_loss(output(), *targets())
    wanted = parts.expression + 0.4 * parts.arousal + 0.4 * parts.valence + 0.2 * parts.five
    assert torch.allclose(parts.total, wanted)
    expression, valence, arousal = targets()
    assert torch.allclose(parts.expression, torch.nn.functional.cross_entropy(output().logits, expression))
    made, vector = output().five, five_vector(valence, arousal)
    assert made is not None
    assert torch.allclose(parts.five, ((made - vector) ** 2).sum(1).mean())


@given(st.integers(2, 40), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_one_less_the_metric(n: int, seed: int) -> None:
    x, y = torch.rand(2, n, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assert ccc_loss(x, y).item() == pytest.approx(1 - ccc(y.numpy(), x.numpy()), abs=1e-4)


@pytest.mark.parametrize("constant", ["prediction", "target", "both"])
def test_constants_are_no_agreement_and_have_a_finite_gradient(constant: str) -> None:
    same, varying = torch.full((5,), 0.3), torch.linspace(-1, 1, 5)
    predicted = (varying if constant == "target" else same).clone().requires_grad_()
    loss = ccc_loss(predicted, varying if constant == "prediction" else same)
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_rows_that_are_not_annotated_count_for_nothing() -> None:
    expression, valence, arousal = targets(8)
    expression[6:], valence[6:], arousal[7] = -1, NAN, NAN
    whole = multi_task_loss(output(8), expression, valence, arousal)
    cut = output(8)
    assert cut.valence is not None and cut.arousal is not None and cut.five is not None  # noqa: PT018
    first = HeadOutput(cut.logits[:6], cut.valence[:6], cut.arousal[:6], cut.five[:6])
    for a, b in zip(whole, multi_task_loss(first, expression[:6], valence[:6], arousal[:6]), strict=True):
        assert torch.allclose(a, b)


def test_a_batch_with_no_annotation_at_all_costs_nothing_and_trains_nothing() -> None:
    logits = torch.randn(3, 7, requires_grad=True)
    nothing = torch.full((3,), NAN)
    parts = multi_task_loss(
        HeadOutput(logits, logits[:, 0], logits[:, 1], logits[:, :5]), torch.full((3,), -1), nothing, nothing
    )
    parts.total.backward()
    assert parts.total.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_an_expression_model_has_no_other_parts() -> None:
    parts = multi_task_loss(HeadOutput(output().logits), *targets())
    assert parts.total == parts.expression
    assert parts.five == 0


def test_logit_adjustment_moves_training_towards_rare_classes() -> None:
    logits, common, rare = torch.zeros(1, 7), torch.tensor([0]), torch.tensor([2])
    adjustment = torch.tensor([0.9, 0.02, 0.01, 0.01, 0.02, 0.02, 0.02]).log()
    nothing = torch.tensor([NAN])

    def loss(target: Tensor) -> float:
        return multi_task_loss(HeadOutput(logits), target, nothing, nothing, logit_adjustment=adjustment).total.item()

    assert loss(rare) > loss(common)
    assert loss(rare) == pytest.approx(-torch.tensor(0.01 / 1.0).log().item(), rel=1e-3)
