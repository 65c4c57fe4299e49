import io

from transferkit._utils.figures import ShownFigure, new_axes


def test_a_figure_gives_itself_as_a_png_file():
    figure = ShownFigure(figsize=(2, 1))
    figure.subplots()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_axes_give_the_figure_that_they_are_in():
    ax = new_axes(2, 1)
    assert ax.figure.get_size_inches().tolist() == [2, 1]
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png")
    assert ax._repr_png_() == buffer.getvalue()
