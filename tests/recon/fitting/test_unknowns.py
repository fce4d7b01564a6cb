"""The order of unknowns, and steps within bounds."""

import numpy as np

from recon.fitting.unknowns import Layout, solve_within


def test_the_layout_tiles_the_vector():
    layout = Layout(3, 2, 4, 2, 27, 1)
    parts = [layout.identity, layout.albedo]
    for view in range(2):
        parts += [layout.pose(view), layout.expression(view), layout.light(view), layout.zoom(view)]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[-1].stop == layout.n_all == 5 + 2 * (6 + 4 + 27 + 1)
    own = layout.of_view(1)
    assert list(own[:5]) == [0, 1, 2, 3, 4] and own[5] == layout.pose(1).start and own[-1] == layout.n_all - 1


def test_a_step_within_bounds_solves_the_equations():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 5))
    normal, right = rows.T @ rows, rng.normal(size=5)
    step = solve_within(normal, right, np.array([1, 3]), np.zeros(2), -100.0, 100.0)
    np.testing.assert_allclose(normal @ step, right)


def test_a_held_unknown_stays_at_its_bound_and_the_rest_is_optimal():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(9, 5))
    normal, right = rows.T @ rows, 10.0 * rng.normal(size=5)
    free = np.linalg.solve(normal, right)
    position = int(np.argmin(free))
    step = solve_within(normal, right, np.array([position]), np.array([0.2]), 0.0, 1.0)
    assert step[position] == -0.2
    rest = np.arange(5) != position
    np.testing.assert_allclose((normal @ step)[rest], right[rest])


def test_every_unknown_may_have_bounds_of_its_own():
    normal, right = np.eye(3), np.array([5.0, 5.0, -5.0])
    now = np.array([0.5, -1.0, 0.0])
    step = solve_within(normal, right, np.arange(3), now, np.array([-1.0, -2.0, -3.5]), np.array([1.0, 3.0, 3.5]))
    np.testing.assert_allclose(now + step, [1.0, 3.0, -3.5])
