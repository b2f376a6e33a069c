"""Pages stand alone and take nothing from outside as HTML."""

from html.parser import HTMLParser

import pytest

from jensen.report import html

NASTY = "<script>alert(\"&')</script>"


class Reader(HTMLParser):
    """Tags, their attributes and the text of a page; open tags must be closed in order."""

    VOID = ("meta", "img", "source", "br", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: html.page(NASTY, NASTY, []),
        lambda: html.section(NASTY),
        lambda: html.paragraph(NASTY),
        lambda: html.table([NASTY], [[NASTY]]),
        lambda: html.definition_list([(NASTY, NASTY)]),
        lambda: html.figure(b"", b"", alt=NASTY, caption=NASTY),
    ],
)
def test_text_stays_text(make):
    reader = Reader(make())
    assert "script" not in reader.tags
    assert NASTY in [*reader.text, *(value for _, value in reader.attributes)]


def test_the_reader_sees_a_script():
    assert "script" in Reader(f"<p>{NASTY}</p>").tags


def test_tags_close_in_order():
    body = html.section("a", html.paragraph("b"), html.table(["x", "y"], [[1, 2]], numbers=1))
    reader = Reader(html.page("t", "l", [body, html.figure(b"1", b"2", alt="a", caption="c", narrow=True)]))
    assert reader.open == []


def test_numbers_are_flush_right():
    attributes = Reader(html.table(["x", "y", "z"], [[1, 2, 3]], numbers=2)).attributes
    assert attributes.count(("class", "number")) == 4


def test_a_row_of_another_length_is_refused():
    page = html.table(["x"], [[1]])
    assert page.count("<td>") == 1


def test_pictures_travel_inside_for_either_ground():
    reader = Reader(html.figure(b"light", b"dark", alt="a", caption="c"))
    assert ("src", "data:image/png;base64,bGlnaHQ=") in reader.attributes
    assert ("srcset", "data:image/png;base64,ZGFyaw==") in reader.attributes
    assert ("media", "(prefers-color-scheme: dark)") in reader.attributes
