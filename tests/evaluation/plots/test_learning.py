from transferkit.evaluation.plots.learning import draw_learning_curve


def test_sizes_stand_below_their_scores(drawn):
    ax = draw_learning_curve([100, 1000], [0.6, 0.8], [0.1, 0.02], measure="accuracy")
    assert ax.lines[0].get_xydata().tolist() == [[100, 0.6], [1000, 0.8]]
    assert {"1,000", "training images", "accuracy"} <= set(drawn(ax))


def test_one_size_can_be_drawn(drawn):
    drawn(draw_learning_curve([100], [0.6], [0.1]))
