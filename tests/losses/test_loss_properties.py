"""What holds for every loss: zero for equal inputs, positive for others, no edited argument, right gradients."""

import pytest
import torch

from bfm.landmarks import EYELIDS_68, OPENINGS_68
from losses import adversarial, depth, landmarks, perceptual, photometric, pose, priors, shape, wing
from recon.rotation import euler_to_matrix

B, N, H, W = 2, 68, 5, 7


def sample(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotations(seed):
    return euler_to_matrix(sample(B, 3, seed=seed))


def units(seed):
    return torch.nn.functional.normalize(sample(B, 3, H, W, seed=seed), dim=1)


MASK = sample(B, 1, H, W, seed=9) > -0.3
SOFT = MASK.double() * 0.7

PAIRS = {
    "landmark": (lambda p, t: landmarks.landmark_loss(p, t, landmarks.paper_weights68().double()), sample, (B, N, 2)),
    "landmark in space": (landmarks.landmark_loss, sample, (B, N, 3)),
    "opening": (landmarks.opening_loss, sample, (B, N, 2)),
    "wing": (wing.wing_loss, sample, (B, N, 2)),
    "dense": (wing.dense_landmark_loss, sample, (B, N, 3)),
    "squared difference": (lambda p, t: photometric.squared_difference(p, t, SOFT), sample, (B, 3, H, W)),
    "gradient difference": (lambda p, t: photometric.gradient_difference(p, t, SOFT), sample, (B, 3, H, W)),
    "photometric": (lambda p, t: photometric.photometric_loss(p, t, SOFT), sample, (B, 3, H, W)),
    "perceptual": (perceptual.perceptual_loss, sample, (B, 16)),
    "shape": (shape.shape_loss, sample, (B, 11, 3)),
    "weighted shape": (lambda p, t: shape.shape_loss(p, t, torch.arange(1.0, 12.0).double()), sample, (B, 11, 3)),
    "coefficients": (shape.coefficient_loss, sample, (B, 5)),
    "relief": (lambda p, t: depth.depth_loss_shift_invariant(p, t, MASK), sample, (B, 1, H, W)),
    "normals": (lambda p, t: depth.normal_loss(p, t, MASK), lambda *_, seed: units(seed), ()),
    "rotation": (pose.rotation_loss, lambda *_, seed: rotations(seed), ()),
    "translation": (pose.translation_loss, sample, (B, 3)),
    "lighting": (priors.lighting_loss, sample, (B, 9, 3)),
}
MASKED = {"squared difference", "gradient difference", "photometric", "relief", "normals"}
"""Average over the pixels of the whole batch that their masks leave; the masks have tests of their own."""


@pytest.mark.parametrize("name", PAIRS)
def test_equal_inputs_give_zero_and_others_more(name):
    loss, make, size = PAIRS[name]
    first, second = make(*size, seed=1), make(*size, seed=2)
    assert abs(float(loss(first, first.clone()))) < 1e-12
    assert float(loss(first, second)) > 1e-3


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_agree_with_finite_differences(name):
    loss, make, size = PAIRS[name]
    first, second = make(*size, seed=1).requires_grad_(), make(*size, seed=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, second), (first,), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_gradient_at_the_truth_is_finite(name):
    loss, make, size = PAIRS[name]
    first = make(*size, seed=1).requires_grad_()
    (slope,) = torch.autograd.grad(loss(first, first.detach().clone()), first)
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("name", PAIRS)
def test_no_loss_edits_its_arguments(name):
    loss, make, size = PAIRS[name]
    first, second = make(*size, seed=1), make(*size, seed=2)
    copies = first.clone(), second.clone()
    loss(first, second)
    assert torch.equal(first, copies[0]) and torch.equal(second, copies[1])


@pytest.mark.parametrize("name", sorted(set(PAIRS) - MASKED))
def test_a_batch_is_the_mean_of_its_singles(name):
    loss, make, size = PAIRS[name]
    first, second = make(*size, seed=1), make(*size, seed=2)
    singles = [loss(first[i : i + 1], second[i : i + 1]) for i in range(B)]
    torch.testing.assert_close(torch.stack(singles).mean(), loss(first, second))


def test_landmarks_by_hand():
    target = torch.zeros(1, N, 2)
    predicted = target.clone()
    predicted[0, 30, 0], predicted[0, 0, 1] = 2.0, 3.0  # the nose tip counts 20 times
    loss = landmarks.landmark_loss(predicted, target, landmarks.paper_weights68())
    assert float(loss) == pytest.approx((20.0 * 4.0 + 9.0) / N)
    visible = torch.ones(1, N, dtype=torch.bool)
    visible[0, 30] = False
    loss = landmarks.landmark_loss(predicted, target, landmarks.paper_weights68(), visible)
    assert float(loss) == pytest.approx(9.0 / (N - 1))
    assert float(landmarks.landmark_loss(predicted, target, None, torch.zeros_like(visible))) == 0.0


def test_openings_tell_a_closed_eye_and_not_a_moved_face():
    face = sample(1, N, 2, seed=3)
    assert float(landmarks.opening_loss(face + 5.0, face)) < 1e-12
    closed = face.clone()
    for upper, lower in EYELIDS_68:
        closed[:, upper] = closed[:, lower]
    gap = [(face[0, a] - face[0, b]).abs().sum() for a, b in EYELIDS_68]
    assert float(landmarks.opening_loss(closed, face)) == pytest.approx(float(sum(gap)) / len(OPENINGS_68))


def test_wing_joins_its_two_branches_and_has_the_stated_numbers():
    at = torch.tensor([-15.0, 15.0 - 1e-9, 15.0, 20.0, 3.0], dtype=torch.float64)
    value = wing.wing(at)
    assert float(value[1]) == pytest.approx(float(value[2]), abs=1e-6)
    assert float(value[3] - value[2]) == pytest.approx(5.0)
    assert float(value[4]) == pytest.approx(15.0 * torch.tensor(2.0).log().item())
    assert float(value[0]) == pytest.approx(float(value[2]))
    with pytest.raises(ValueError, match="positive width and curvature, got 0"):
        wing.wing(at, 0.0)


def test_masks_keep_out_what_they_hide():
    first, second = sample(B, 3, H, W, seed=1), sample(B, 3, H, W, seed=2)
    changed = torch.where(MASK, second, second + 100.0)
    for loss in (photometric.squared_difference, photometric.gradient_difference):
        assert float(loss(first, changed, SOFT)) == pytest.approx(float(loss(first, second, SOFT)))
        assert float(loss(first, second, torch.zeros_like(SOFT))) == 0.0
    depths, others = first[:, :1], second[:, :1]
    hidden, relief = torch.where(MASK, others, others + 100.0), depth.depth_loss_shift_invariant
    assert float(relief(depths, hidden, MASK)) == pytest.approx(float(relief(depths, others, MASK)))
    assert float(relief(depths, others, torch.zeros_like(MASK))) == 0.0
    assert float(depth.normal_loss(units(1), units(2), torch.zeros_like(MASK))) == 0.0


def test_gradient_difference_by_hand():
    step = torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    step[..., 2:] = 1.0  # one edge in each of three rows
    flat, ones = torch.zeros_like(step), torch.ones_like(step)
    assert float(photometric.gradient_difference(step, flat, ones)) == pytest.approx(3.0 / 12.0)
    assert float(photometric.gradient_difference(step, 1.0 - step, ones)) == 0.0, "absolute gradients are equal"


def test_gradient_difference_counts_both_axes_alike():
    steps = torch.zeros(1, 1, 3, 5)
    steps[..., 2:] = 1.0  # three edges across, none down
    flat, ones = torch.zeros(1, 1, 3, 5), torch.ones(1, 1, 3, 5)
    assert float(photometric.gradient_difference(steps, flat, ones)) == pytest.approx(3.0 / 15.0)
    turned = [picture.transpose(2, 3) for picture in (steps, flat, ones)]
    assert float(photometric.gradient_difference(*turned)) == pytest.approx(3.0 / 15.0)


def test_relief_does_not_count_distance():
    first = sample(B, 1, H, W, seed=1)
    away = first + torch.tensor([30.0, -12.0], dtype=torch.float64)[:, None, None, None]
    assert float(depth.depth_loss_shift_invariant(away, first, MASK)) < 1e-9


def test_normals_that_point_away_cost_two():
    assert float(depth.normal_loss(-units(1), units(1), MASK)) == pytest.approx(2.0)


@pytest.mark.parametrize("angle", [1e-6, 1e-4, 0.3, 1.5, 3.0, 3.1414])
def test_rotation_loss_is_the_angle(angle):
    first = rotations(1)
    turn = euler_to_matrix(torch.tensor([[0.0, angle, 0.0]], dtype=torch.float64))
    found = float(pose.rotation_loss(turn @ first, first))
    # Within 0.1 degree (0.0017) of the ends the curve is replaced by a smooth one.
    assert found == pytest.approx(angle, rel=1e-6) if 0.0018 < angle < 3.139 else abs(found - angle) < 0.0018
    half_turn = euler_to_matrix(torch.tensor([[torch.pi, 0.0, 0.0]], dtype=torch.float64)) @ first
    half_turn.requires_grad_()
    (slope,) = torch.autograd.grad(pose.rotation_loss(half_turn, first), half_turn)
    assert bool(torch.isfinite(slope).all())


def test_rotation_loss_pulls_nearly_as_hard_close_to_a_half_turn():
    """There is no flat place before the farthest rotation, where a network would stay."""
    for angle in (3.0, 3.1398, 3.1405):
        turned = torch.tensor([[0.0, angle, 0.0]], dtype=torch.float64, requires_grad=True)
        identity = torch.eye(3, dtype=torch.float64)[None]
        (slope,) = torch.autograd.grad(pose.rotation_loss(euler_to_matrix(turned), identity), turned)
        assert 0.5 < float(slope[0, 1]) < 1.01


def test_embeddings_of_one_direction_are_one_person():
    first = sample(B, 8, seed=1)
    assert abs(float(perceptual.perceptual_loss(3.0 * first, first))) < 1e-12
    assert float(perceptual.perceptual_loss(-first, first)) == pytest.approx(2.0)
    assert float(perceptual.perceptual_loss(torch.zeros_like(first), first)) == pytest.approx(1.0)


def test_priors():
    assert float(priors.coefficient_prior(torch.zeros(B, 4), "normal")) == 0.0
    assert float(priors.coefficient_prior(2.0 * torch.ones(B, 4), "normal")) == 4.0
    assert float(priors.coefficient_prior(torch.full((B, 4), 0.25), "unit")) == pytest.approx(0.25)
    assert float(priors.coefficient_prior(torch.full((B, 4), -0.5), "unit")) == pytest.approx(0.25)
    assert float(priors.coefficient_prior(torch.zeros(B, 0), "normal")) == 0.0
    white = sample(B, 9, 1, seed=2).expand(-1, -1, 3)
    assert float(priors.lighting_prior(white)) < 1e-20
    assert float(priors.lighting_prior(sample(B, 9, 3, seed=2))) > 0.1
    for function, size in (
        (priors.normal_prior, (B, 4)),
        (priors.unit_prior, (B, 4)),
        (priors.lighting_prior, (B, 9, 3)),
    ):
        assert torch.autograd.gradcheck(function, (sample(*size, seed=4).requires_grad_(),))


def linear_critic(shapes):
    return 0.5 * shapes.flatten(1).sum(dim=1)


def test_critic_loss_by_hand():
    real, fake = sample(B, 11, 3, seed=1), sample(B, 11, 3, seed=2)
    mixing = torch.tensor([0.2, 0.9], dtype=torch.float64)
    # The slope is 0.5 in each of 33 coordinates, whatever the mixing.
    penalty = (33 * 0.25) ** 3
    wanted = 0.5 * (fake.sum() - real.sum()) / B + 2.0 * penalty
    torch.testing.assert_close(adversarial.discriminator_loss(linear_critic, real, fake, mixing), wanted)
    torch.testing.assert_close(adversarial.generator_loss(linear_critic, fake), -0.5 * fake.sum() / B)
    assert float(adversarial.discriminator_loss(linear_critic, real, real, mixing, strength=0.0)) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_penalty_is_taken_between_fake_and_real(share):
    """The slope of a quadratic critic tells where it was taken."""
    real, fake = sample(B, 11, 3, seed=1), sample(B, 11, 3, seed=2)
    mixing = torch.full((B,), share, dtype=torch.float64)
    between = (1.0 - share) * fake + share * real
    with_penalty, without = (
        adversarial.discriminator_loss(
            lambda s: s.square().flatten(1).sum(1), real, fake, mixing, strength=k, power=2.0
        )
        for k in (1.0, 0.0)
    )
    torch.testing.assert_close(with_penalty - without, (2.0 * between).square().flatten(1).sum(1).mean())


def test_adversarial_gradients_go_where_they_should():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(33, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    critic.double()
    judge = lambda shapes: critic(shapes).squeeze(1)  # noqa: E731
    real, fake = sample(B, 11, 3, seed=1), sample(B, 11, 3, seed=2).requires_grad_()
    loss = adversarial.discriminator_loss(judge, real, fake, torch.tensor([0.3, 0.6], dtype=torch.float64))
    loss.backward()
    assert fake.grad is None, "the critic's step must not move the regressor"
    assert all(p.grad is not None for p in list(critic.parameters())[:3])
    assert torch.autograd.gradcheck(lambda x: adversarial.generator_loss(judge, x), (fake,))
    weight = critic[1].weight

    def with_weight(values):
        def tilted(shapes):
            hidden = torch.tanh(torch.nn.functional.linear(shapes.flatten(1), values, critic[1].bias))
            return critic[3](hidden).squeeze(1)

        return adversarial.discriminator_loss(tilted, real, fake, torch.tensor([0.3, 0.6], dtype=torch.float64))

    assert torch.autograd.gradcheck(with_weight, (weight.detach().clone().requires_grad_(),), rtol=1e-4)


def test_a_flat_critic_has_a_finite_penalty_gradient():
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    penalty = adversarial.divergence_penalty(lambda s: scale * s.flatten(1).sum(1), sample(B, 11, 3), 6.0)
    penalty.backward()
    assert float(penalty.detach()) == 0.0 and bool(torch.isfinite(scale.grad))


def test_translation_is_measured_in_shares_of_the_true_distance():
    target = torch.tensor([[0.0, 0.0, -1000.0], [0.0, 0.0, -500.0]], dtype=torch.float64)
    predicted = torch.tensor([[0.0, 0.0, -3000.0], [30.0, 40.0, -500.0]], dtype=torch.float64)
    assert float(pose.translation_loss(predicted, target)) == pytest.approx(0.5 * (2.0 + 0.1), rel=1e-4)


def test_light_is_compared_by_what_it_shows():
    none, light = torch.zeros(1, 9, 3), torch.zeros(1, 9, 3)
    for coefficient, share in ((0, 1.0), (2, 2.0 / 3.0), (6, 0.25)):
        light.zero_()
        light[0, coefficient] = 0.9
        assert float(priors.lighting_loss(light, none)) == pytest.approx(0.9 * share / 9.0)
