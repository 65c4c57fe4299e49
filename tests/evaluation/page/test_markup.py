from transferkit.evaluation.page.markup import Markup, markup_of, named, tag


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b>&", Markup("<i>x</i>"), None, ["a", 1]) == "<p>&lt;b&gt;&amp;<i>x</i>a1</p>"


def test_attributes_are_escaped_and_left_out_without_a_value():
    written = tag("a", "x", class_="soft", data_value='"><', hidden=True, title=None, open=False)
    assert written == '<a class="soft" data-value="&quot;&gt;&lt;" hidden>x</a>'


def test_some_elements_have_no_end():
    assert tag("img", src="data:,") == '<img src="data:,">'


def test_what_no_page_can_show_is_replaced():
    assert named("a\x00b\u202ec\udcff") == "<bdi>a\ufffdb\ufffdc\ufffd</bdi>"
    assert markup_of("👩‍🔬 日本") == "👩‍🔬 日本"
