"""Blinks and head motion."""

from __future__ import annotations

import numpy as np

from recon.speech.liveliness import blinks, frame_loudness, liveliness


def test_lids_blink_as_often_as_peoples_and_are_open_between() -> None:
    times_s = np.arange(0.0, 600.0, 1.0 / 60.0)
    weight = blinks(times_s, np.random.default_rng(0))
    begun = int(((weight[1:] > 0.5) & (weight[:-1] <= 0.5)).sum())
    assert 10 <= begun / 10.0 <= 26  # a minute
    assert weight.min() == 0.0 and weight.max() > 0.95 and (weight < 0.01).mean() > 0.85
    rising, falling = (weight[1:] > weight[:-1]).sum(), (weight[1:] < weight[:-1]).sum()
    assert rising < 0.75 * falling  # they close faster than they open


def test_blinks_do_not_depend_on_the_rate() -> None:
    slow, fast = (blinks(np.arange(0.0, 30.0, 1.0 / fps), np.random.default_rng(4)) for fps in (30, 60))
    np.testing.assert_allclose(fast[::2], slow, atol=1e-12)


def test_turns_are_smooth_rotations() -> None:
    fps, random = 30.0, np.random.default_rng(1)
    life = liveliness(random.uniform(size=900), fps, seed=2)
    turned = life.rotation
    np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turned.shape), atol=1e-9)
    step = turned[1:] @ turned[:-1].transpose(0, 2, 1)
    speed_deg_s = np.degrees(np.arccos(np.clip((np.trace(step, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0))) * fps
    assert 0.5 < np.median(speed_deg_s) < 15.0 and speed_deg_s.max() < 60.0


def test_the_head_goes_down_with_a_louder_voice() -> None:
    loudness = np.zeros(600)
    loudness[300:330] = 1.0
    quiet, loud = (liveliness(values, 30.0, seed=3).rotation for values in (np.zeros(600), loudness))
    # A turn about x that takes the face, which looks along z, down.
    lowered = loud[:, 1, 2] - quiet[:, 1, 2]
    assert lowered[315] < lowered[100] - 0.02


def test_loudness_of_frames() -> None:
    samples = np.concatenate([np.zeros(100), np.full(100, 0.5), np.full(50, -0.25)])
    np.testing.assert_allclose(frame_loudness(samples, 1000, 10.0, 4), [0.0, 0.5, 0.25, 0.0])


def test_no_frames() -> None:
    assert liveliness(np.zeros(0), 25.0).rotation.shape == (0, 3, 3)
