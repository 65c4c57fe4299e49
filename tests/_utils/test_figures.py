from transferkit._utils.figures import ShownFigure


def test_a_figure_gives_itself_as_a_png_file():
    figure = ShownFigure(figsize=(2, 1))
    figure.subplots()
    assert figure._repr_png_().startswith(b"\x89PNG")
