import io

import pytest


@pytest.fixture
def drawn():
    """A function that draws the figure of axes, and fails where Matplotlib cannot; it returns all texts in it."""
    from matplotlib.text import Text

    def draw(ax):
        ax.figure.savefig(io.BytesIO(), format="png", dpi=30)
        return [text.get_text() for text in ax.figure.findobj(Text) if text.get_text()]

    return draw
