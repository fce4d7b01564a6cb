"""Faces of a video: who is followed, when is searched, and which numbers people have. Detector and network are drawn worlds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.detection.align import AlignmentError
from recon.detection.face import Face, NoFaceError
from recon.inference.face_tracks import FaceTracks, LandmarkFollower, TrackingConfig
from recon.inference.landmarks import LandmarkRegressor
from recon.io.image import Photo

_POINTS = np.array([[-15.0, -10.0], [15.0, -10.0], [0.0, 3.0], [-12.0, 20.0], [12.0, 20.0]])
_POINTS -= _POINTS.mean(axis=0)
FPS = 25.0


def face(x, y, size=60.0, score=0.9):
    half = np.array([size, size]) / 2.0
    middle = np.array([x, y], dtype=float)
    points = middle + _POINTS * size / 60.0
    return Face(np.concatenate((middle - half, middle + half)), points, score, "drawn")


class World:
    """Frames in which it is known where faces are; a follower sees what is within half a face of where it looks."""

    def __init__(self, frames):
        self.frames, self.now = frames, 0
        self.searched, self.scores = [], []

    def search(self, photo):
        self.searched.append(self.now)
        if not self.frames[self.now]:
            raise NoFaceError("no face")
        return sorted(self.frames[self.now], key=lambda f: -f.size_px)

    def follow(self, pixels, points5, score):
        self.scores.append(score)
        near = [f for f in self.frames[self.now] if np.linalg.norm(f.points5.mean(0) - points5.mean(0)) < 30.0]
        if not near:
            return None
        found = min(near, key=lambda f: np.linalg.norm(f.points5.mean(0) - points5.mean(0)))
        return dataclasses.replace(found, score=score)

    def run(self, config=None, follows=True, **options):
        tracks = FaceTracks(self.search, self.follow if follows else None, config, **options)
        told = []
        for now in range(len(self.frames)):
            self.now = now
            found = tracks.step(Photo(np.zeros((4, 5, 3), np.uint8)), self.now / FPS)
            told.append(
                {one.person: None if one.face is None else tuple(one.face.points5.mean(0).round(6)) for one in found}
            )
        return told


def test_a_moving_face_is_followed_and_searched_for_now_and_then():
    world = World([[face(100 + 9 * k, 80)] for k in range(40)])
    told = world.run(TrackingConfig(search_every=10))
    assert [list(people) for people in told] == [[1]] * 40
    assert [people[1][0] for people in told] == pytest.approx([100 + 9 * k for k in range(40)])
    assert world.searched == [0, 10, 20, 30]
    assert World([[face(100, 80)]] * 5).run(follows=False)[-1].keys() == {1}


def test_frames_without_a_face_have_none_and_the_same_person_comes_back():
    gap = [[face(100, 80)]] * 5 + [[]] * 10 + [[face(130, 84)]] * 5
    world = World(gap)
    told = world.run()
    assert all(people == {1: None} for people in told[5:15])
    assert [people[1][0] for people in told[15:]] == [130.0] * 5
    assert world.searched[:12] == [0, *range(5, 16)]  # searched only while someone is missing
    forgotten = World(gap).run(TrackingConfig(keep_s=0.3))
    assert forgotten[8] == {1: None} and forgotten[14] == {} and list(forgotten[15]) == [2]


def test_people_who_pass_each_other_keep_their_numbers():
    """The one behind is hidden for some frames, and the other's face is not taken for it."""

    def frame(k):
        left, right = face(60 + 8 * k, 100), face(380 - 8 * k, 100, 50.0)
        hidden = np.linalg.norm(left.points5.mean(0) - right.points5.mean(0)) < 50.0
        return [left] if hidden else [left, right]

    frames = [frame(k) for k in range(41)]
    told = World(frames).run()
    assert set().union(*told) == {1, 2} and sum(people[2] is None for people in told) >= 5
    assert [people[1][0] for people in told] == pytest.approx([60 + 8 * k for k in range(41)])
    assert told[-1][2][0] == pytest.approx(60.0) and told[5][2][0] == pytest.approx(340.0)


def test_a_newcomer_is_found_by_the_next_search_and_gets_a_new_number():
    world = World([[face(100, 80)]] * 12 + [[face(100, 80), face(300, 80)]] * 12)
    told = world.run(TrackingConfig(search_every=8))
    assert list(told[15]) == [1] and list(told[16]) == [1, 2] and list(told[-1]) == [1, 2]


def test_one_at_a_time_is_the_largest_until_it_is_forgotten():
    frames = [[face(100, 80, 50.0), face(300, 80, 70.0)]] * 10 + [[face(100, 80, 50.0)]] * 20
    told = World(frames).run(TrackingConfig(keep_s=0.4), largest=True)
    assert all(people == {1: (300.0, 80.0)} for people in told[:10])
    assert told[12] == {1: None} and told[-1] == {2: (100.0, 80.0)}


def test_what_a_search_does_not_confirm_must_be_surer():
    """A follower that has drifted onto a thing is asked with a lower score each time."""
    world = World([[face(100, 80, score=0.8)]] + [[face(100, 80, score=0.8), face(300, 80)]] * 9)
    found = world.search
    world.search = lambda photo: [one for one in found(photo) if one.points5.mean() > 150 or world.now == 0]
    world.run(TrackingConfig(search_every=4))
    of_first = [score for score in world.scores if score != 0.9]
    assert of_first[0] == 0.8 and of_first[-1] == pytest.approx(0.2)


def test_one_at_a_time_is_confirmed_by_a_search_about_the_face():
    """The whole frame is searched only while nobody is followed, and what is not found about the face is not confirmed."""
    frames = [[face(100, 80, score=0.8), face(300, 80, 50.0)]] * 13 + [[face(300, 80, 50.0)]] * 20
    world, near = World(frames), []

    def search_near(photo, followed):
        near.append((world.now, round(float(followed.points5[:, 0].mean()))))
        return [] if world.now == 8 else world.frames[world.now][:1]

    told = world.run(TrackingConfig(search_every=4, keep_s=0.2), largest=True, search_near=search_near)
    assert [people.get(1) for people in told[:13]] == [(100.0, 80.0)] * 13 and told[-1] == {2: (300.0, 80.0)}
    assert near[:3] == [(4, 100), (8, 100), (12, 100)] and all(x == 300 for _, x in near[3:])
    assert world.searched == [0, *range(13, 18)]
    assert world.scores[4] == 0.8 and world.scores[9] == pytest.approx(0.4)  # after the search that did not find it
    everybody = World(frames)
    everybody.run(TrackingConfig(search_every=4), largest=False, search_near=search_near)
    assert everybody.searched[:4] == [0, 4, 8, 12]  # newcomers may be anywhere


def test_a_jump_or_a_face_of_another_size_is_not_followed():
    for second in (face(138, 80), face(100, 80, 120.0)):
        world = World([[face(100, 80)]] * 3 + [[second]] * 3)
        world.follow = lambda pixels, points5, score, world=world: world.frames[world.now][0]
        told = world.run(TrackingConfig(search_every=100))
        assert 3 in world.searched  # it was lost, so the frame was searched
        assert list(told[-1]) == ([1] if second.size_px == pytest.approx(60.0) else [1, 2])


def test_landmarks_that_make_no_face_are_none():
    class Landmarks(LandmarkRegressor):
        def __init__(self):
            pass

        def once(self, pixels, points5):
            raise AlignmentError("five points on one spot")

    assert LandmarkFollower(Landmarks())(np.zeros((4, 5, 3), np.uint8), _POINTS, 0.9) is None
    with pytest.raises(ValueError, match="search_every must be at least 1 and keep_s 0 or more, got 0 and 2.0"):
        TrackingConfig(search_every=0)
