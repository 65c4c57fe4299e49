from transferkit._utils.html import html_facts, html_paragraphs, html_table, html_text


def test_a_table_escapes_its_cells_and_aligns_numbers_to_the_right():
    assert html_table(["class", "F1"], [["a<b", 0.5]]) == (
        '<table><tr><th style="text-align: left">class</th><th style="text-align: right">F1</th></tr>'
        '<tr><td style="text-align: left">a&lt;b</td><td style="text-align: right">0.5</td></tr></table>'
    )


def test_text_is_escaped():
    assert html_text("a\n <b>") == "<pre>a\n &lt;b&gt;</pre>"
    assert html_paragraphs(["a & b", "c"]) == "<p>a &amp; b</p><p>c</p>"


def test_facts_are_escaped():
    html = html_facts([("a<b", 1), ("c", "<d>")])
    assert html.count("<tr>") == 2
    assert "a&lt;b</th>" in html
    assert "&lt;d&gt;</td>" in html
