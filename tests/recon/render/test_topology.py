import torch
from render_scenes import bumpy_head

from recon.render import Topology


def neighbours_slowly(faces):
    edges = {}
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            edges.setdefault(frozenset((face[k], face[(k + 1) % 3])), []).append(f)
    out = torch.full_like(faces, -1)
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            owners = edges[frozenset((face[k], face[(k + 1) % 3]))]
            if len(owners) == 2:
                out[f, k] = owners[0] + owners[1] - f
    return out


def test_neighbours_of_a_closed_mesh():
    vertices, faces = bumpy_head(10, 6)
    topology = Topology.of(faces, len(vertices))
    assert torch.equal(topology.neighbours, neighbours_slowly(faces))
    assert (topology.neighbours >= 0).all()


def test_opposite_is_the_neighbours_corner_off_the_edge():
    vertices, faces = bumpy_head(10, 6)
    topology = Topology.of(faces, len(vertices))
    for f in range(len(faces)):
        for k in range(3):
            edge = {int(faces[f, k]), int(faces[f, (k + 1) % 3])}
            assert set(faces[topology.neighbours[f, k]].tolist()) - edge == {int(topology.opposite[f, k])}


def test_borders_and_shared_edges_of_many_faces_have_no_neighbour():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 1, 2]])  # edge 1-2 has three faces
    topology = Topology.of(faces, 5)
    assert (topology.neighbours == -1).all() and (topology.opposite == -1).all()


def test_neighbours_do_not_depend_on_winding():
    topology = Topology.of(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4)
    assert topology.neighbours.tolist() == [[-1, 1, -1], [0, -1, -1]]
    assert topology.opposite.tolist() == [[-1, 3, -1], [0, -1, -1]]


def test_duplicate_faces_count_once():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [1, 2, 0], [2, 0, 1]])
    topology = Topology.of(faces, 4)
    assert topology.neighbours.tolist() == [[-1, 1, -1], [0, -1, -1], [1, -1, -1], [-1, -1, 1]]


def test_faces_that_repeat_a_vertex_have_no_neighbours_and_are_nobodys():
    topology = Topology.of(torch.tensor([[0, 1, 2], [1, 2, 2], [2, 1, 3]]), 4)
    assert topology.neighbours.tolist() == [[-1, 2, -1], [-1, -1, -1], [0, -1, -1]]


def test_no_faces():
    assert Topology.of(torch.zeros(0, 3, dtype=torch.int64), 4).neighbours.shape == (0, 3)
