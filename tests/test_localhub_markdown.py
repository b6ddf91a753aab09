"""What becomes of strangers' Markdown and HTML: only harmless tags come out, and they lead nowhere bad."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import ATTACKS

from hubkit.localhub.markdown import TEXT_MAX, render_markdown, repo_address
from hubkit.localhub.sanitise import sanitise

# Written out anew, so that a tag that finds its way into the module's list by mistake is found here.
TAGS = set(
    "a b blockquote br caption cite code dd del details dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark"
    " ol p pre q s samp section small span strong sub summary sup table tbody td tfoot th thead tr u ul"
    " var".split()
)
ATTRIBUTES = {"href", "rel", "src", "alt", "loading", "width", "height", "class", "id", "start", "open"} | {
    "colspan",
    "rowspan",
}


class Reader(HTMLParser):
    """Notes every tag as a browser would meet it, and fails on what may not be there."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        assert set(names) <= ATTRIBUTES
        values = dict(attrs)
        if "href" in values:
            assert re.match(r"(https?:|mailto:|/(?![/\\])|#|\?)", values["href"], re.I), values["href"]
        if tag == "img":
            assert re.match(r"(/(?![/\\])|\?|#|$)", values["src"]), values["src"]
        assert not any(char in (values.get("class") or "") for char in " \t\n")
        self.tags.append((tag, values))
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, "an end tag without its start"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def render(text):
    return render_markdown(text, repo_address("user/name", "main"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_card_cannot_run_anything(attack):
    read(render(ATTACKS[attack]))
    read(sanitise(ATTACKS[attack], repo_address("user/name", "main")))


# Pieces that mean something to a parser, put together as they come, between any other text.
_PIECES = st.sampled_from(
    [
        *"<>&\"'`=/\\![]()#|*_~-:\n\t \0",
        *"<a <img </ /> <div> </div> <!-- --> <![CDATA[ <? <script </script>".split(),
        *"<svg> <style> <b> </td> &lt; &#106; &colon; javascript: data: http://a.b //c.d ``` [x]:".split(),
        *(" href=", " src=", " onclick=", " style=", "| - |\n", "    ", "> ", "- ", "\u202e"),
    ]
)
_TEXTS = st.lists(_PIECES | st.sampled_from(list(ATTACKS.values())) | st.text(max_size=8), max_size=40).map(
    "".join
)

SOME = settings(max_examples=min(settings.default.max_examples, 200))


@SOME
@given(_TEXTS)
def test_only_known_tags_and_addresses_come_out_of_any_markdown(text):
    read(render(text))


@SOME
@given(_TEXTS)
def test_only_known_tags_and_addresses_come_out_of_any_html(html):
    once = sanitise(html, repo_address("user/name", "main", "docs"))
    read(once)
    # What is clean stays as it is, but for relative addresses, which have become absolute.
    assert sanitise(once, lambda link, _image: link) == once


def test_html_as_cards_use_it():
    html = render(
        "<details><summary>More</summary>\n\n**bold** <!-- gone -->\n\n</details>\n\nH<sub>2</sub>O <b>x</b>"
    )
    assert "<details><summary>More</summary>" in html
    assert "<strong>bold</strong>" in html
    assert "gone" not in html
    assert "H<sub>2</sub>O <b>x</b>" in html
    html = render('<div align="center">\n<img src="a.png" width="300" alt="A">\n</div>')
    assert '<section class="center">' in html
    assert '<img width="300" src="/user/name/resolve/main/a.png" alt="A" loading="lazy">' in html
    assert "<p>The tag &lt;script&gt; in code: <code>&lt;script&gt;</code>" in render(
        "The tag &lt;script&gt; in code: `<script>`"
    )


def test_what_was_opened_is_closed():
    assert render("<b>x\n\ny") == "<p><b>x</b></p>\n<p>y</p>\n"
    assert render("a </b></article> x") == "<p>a  x</p>\n"
    assert sanitise("<a href=x>1<a href=y>2", lambda link, _: link) == '<a href="x">12</a>'


def test_links_lead_into_the_repo():
    assert 'href="/user/name/blob/main/a/b%20c.md#x"' in render("[x](a/b%20c.md#x)")
    assert 'href="#top"' in render("[x](#top)")
    assert 'href="#"' in render("[x](../../../etc/passwd)")
    assert 'rel="noopener nofollow noreferrer"' in render("[x](https://example.org)")
    assert 'href="/other/repo"' in render("[x](/other/repo)")
    assert 'href="//' not in render("[x](//evil.example/x)")
    bare = render("See https://example.org/a_(b).")
    assert '<a href="https://example.org/a_(b)" rel="noopener nofollow noreferrer">' in bare
    assert "https://example.org/a_(b)</a>." in bare
    assert "<a" not in render("`https://example.org`")


def test_images_come_from_this_hub_only():
    # An image from elsewhere is named, not fetched; inside a link it is a word of that link.
    assert "<img" not in render("![badge](https://example.org/b.svg)")
    assert '<a href="https://example.org/b.svg"' in render("![badge](https://example.org/b.svg)")
    assert "image: badge" in render("![badge](https://example.org/b.svg)")
    assert "<span>image: badge</span></a>" in render("[![badge](https://e.org/b.svg)](https://e.org)")
    assert 'src="/user/name/resolve/main/loss.png"' in render("![x](./loss.png)")


def test_headings_are_numbered():
    assert '<h2 id="a-b">A b</h2>' in render("## A b")
    assert '<h2 id="a-b-1">' in render("## A b\n## A b")
    assert "<h1>hk main</h1>" in render("# hk main")  # an id of the pages' own


def test_what_is_too_long_is_cut():
    html = render("a" * (TEXT_MAX + 10))
    assert html == f"<p>{'a' * TEXT_MAX}</p>\n<p><em>The rest is too long to be shown.</em></p>"
