"""Text and tables in HTML, for notebooks."""

from html import escape


def html_table(header, rows):
    """Returns a table in HTML. The first column is aligned to the left, as names are; the others hold numbers."""
    lines = ["".join(_cell("th", text, number) for number, text in enumerate(header))]
    lines += ["".join(_cell("td", text, number) for number, text in enumerate(row)) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def html_facts(pairs):
    """Returns a table in HTML of names and what is known of each, both as text that may take several lines."""
    style = 'style="text-align: left; vertical-align: top; white-space: normal"'
    rows = [f"<th {style}>{escape(str(name))}</th><td {style}>{escape(str(value))}</td>" for name, value in pairs]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def html_text(text):
    """Returns text in HTML, line for line and as wide as it is."""
    return f"<pre>{escape(text)}</pre>"


def html_paragraphs(texts):
    """Returns paragraphs in HTML."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _cell(tag, text, number):
    return f'<{tag} style="text-align: {"right" if number else "left"}">{escape(str(text))}</{tag}>'
