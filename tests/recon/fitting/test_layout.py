"""The order of unknowns."""

from recon.fitting.layout import ParameterLayout


def test_the_layout_tiles_the_vector():
    layout = ParameterLayout(3, 2, 4, 2, 27, 1)
    parts = [layout.identity, layout.albedo]
    for view in range(2):
        parts += [layout.rotation(view), layout.translation(view), layout.expression(view)]
        parts += [layout.lighting(view), layout.focal(view)]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[-1].stop == layout.n_total == 5 + 2 * (6 + 4 + 27 + 1)


def test_a_view_depends_on_the_shared_unknowns_and_its_own():
    layout = ParameterLayout(3, 2, 4, 2, 27, 1)
    columns = layout.view_columns(1).tolist()
    assert columns[:5] == [0, 1, 2, 3, 4]
    assert columns[5:] == list(range(layout.rotation(1).start, layout.n_total))
    assert len(columns) == layout.single_view.n_total
    assert columns[layout.single_view.expression(0).start] == layout.expression(1).start
