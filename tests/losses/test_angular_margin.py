"""ArcFace's loss beside a plain loop, and what it promises."""

import math

import pytest
import torch

from losses.angular_margin import angular_margin_loss


def _by_loop(embeddings, prototypes, person, margin_rad, scale):
    total = 0.0
    for embedding, own in zip(embeddings.tolist(), person.tolist(), strict=True):
        logits = []
        for row, prototype in enumerate(prototypes.tolist()):
            dot = sum(a * b for a, b in zip(embedding, prototype, strict=True))
            cosine = dot / math.sqrt(sum(a * a for a in embedding) * sum(b * b for b in prototype))
            if row == own:
                angle = math.acos(cosine)
                beyond = cosine - margin_rad * math.sin(margin_rad)
                cosine = math.cos(angle + margin_rad) if angle + margin_rad < math.pi else beyond
            logits.append(scale * cosine)
        total += math.log(sum(math.exp(x) for x in logits)) - logits[own]
    return total / len(embeddings)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(4)
    embeddings = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    prototypes = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    embeddings[5] = -prototypes[2] + 0.05 * embeddings[5]  # farther than the margin lets it go
    return embeddings, prototypes, torch.tensor([0, 1, 2, 1, 0, 2])


@pytest.mark.parametrize(("margin_rad", "scale"), [(0.0, 1.0), (0.5, 8.0), (1.2, 4.0)])
def test_it_is_the_loop_in_value_and_gradient(drawn, margin_rad, scale):
    embeddings, prototypes, person = drawn
    embeddings.requires_grad_()
    found = angular_margin_loss(embeddings, prototypes, person, margin_rad, scale)
    assert found.item() == pytest.approx(_by_loop(embeddings.detach(), prototypes, person, margin_rad, scale), rel=1e-9)
    (gradient,) = torch.autograd.grad(found, embeddings)
    step = 1e-6
    for place in ((0, 1), (3, 4), (5, 0)):
        moved = embeddings.detach().clone()
        moved[place] += step
        lower = embeddings.detach().clone()
        lower[place] -= step
        difference = _by_loop(moved, prototypes, person, margin_rad, scale) - _by_loop(
            lower, prototypes, person, margin_rad, scale
        )
        assert gradient[place].item() == pytest.approx(difference / (2.0 * step), rel=1e-4, abs=1e-7)


def test_lengths_do_not_count_and_margins_cost(drawn):
    embeddings, prototypes, person = drawn
    lengths = torch.tensor([0.1, 2.0, 30.0, 1.0, 5.0, 0.7], dtype=torch.float64)[:, None]
    plain = angular_margin_loss(embeddings, prototypes, person)
    torch.testing.assert_close(angular_margin_loss(lengths * embeddings, 3.0 * prototypes, person), plain)
    costs = [angular_margin_loss(embeddings, prototypes, person, margin).item() for margin in (0.0, 0.2, 0.5)]
    assert costs == sorted(costs) and costs[0] < costs[2]


def test_it_grows_with_the_angle_up_to_a_half_turn():
    prototypes = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    angles = torch.linspace(0.0, math.pi, 40)
    costs = [
        angular_margin_loss(
            torch.tensor([[math.cos(a), math.sin(a), 0.0]]), prototypes, torch.tensor([0]), 0.5, 8.0
        ).item()
        for a in angles.tolist()
    ]
    assert all(b > a for a, b in zip(costs, costs[1:], strict=False))


def test_half_precision_and_autocast_do_not_change_it(drawn):
    embeddings, prototypes, person = (drawn[0].float(), drawn[1].float(), drawn[2])
    exact = angular_margin_loss(embeddings, prototypes, person)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(angular_margin_loss(embeddings, prototypes, person), exact)
    assert angular_margin_loss(embeddings.bfloat16(), prototypes, person).dtype == torch.float32


def test_the_ends_have_finite_gradients():
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    ends = torch.tensor([[2.0, 0.0], [-3.0, 0.0]], requires_grad=True)
    angular_margin_loss(ends, prototypes, torch.tensor([0, 0])).backward()
    assert torch.isfinite(ends.grad).all()


@pytest.mark.parametrize(
    ("margin_rad", "scale"), [(-0.1, 1.0), (1.6, 1.0), (0.5, 0.0), (0.5, math.inf), (math.nan, 1.0)]
)
def test_what_makes_no_sense_is_refused(margin_rad, scale):
    with pytest.raises(ValueError, match="margins lie in"):
        angular_margin_loss(torch.ones(1, 2), torch.ones(2, 2), torch.tensor([0]), margin_rad, scale)
