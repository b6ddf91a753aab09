"""Strangers' cards in a real browser: nothing of them runs, loads, clobbers, or leaves its place.

The hostile pages are visited with the browser told to ignore the Content-Security-Policy, so that what is
built from a card must be harmless by itself; then the policy is tried alone: hostile things are put past it.
"""

import json
from pathlib import Path

import pytest
from browser import FAULTS, Visit
from conftest import BOB
from vectors import ATTACKS, CHIPS, ELSEWHERE

from hubkit import localhub

pytestmark = pytest.mark.browser

HARM = Path(__file__).with_name("page_harm.js").read_text()


# What swallows the rest of a text has a file of its own and is left out of the whole.
WHOLE = "\n\n".join(text for name, text in ATTACKS.items() if name not in ("deep", "null and controls"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    import filled
    from huggingface_hub import HfApi

    root = tmp_path_factory.mktemp("hub")
    plant(root, "bob/nasty", f"{CHIPS}# Title\n\n{WHOLE}\n")
    with localhub.start(root, tokens={BOB: localhub.Token("bob")}) as running:
        api = HfApi(endpoint=running.endpoint, token=BOB)
        files = {f"attack-{n:02d}.md": text for n, text in enumerate(ATTACKS.values())}
        files |= {"evil.svg": SVG, "evil.html": HTML, "evil.json": "{}", "figure.png": filled.png()}
        files |= {"a b/<img src=x onerror=alert(1)>.md": "x", "\u202etxt.md": "x"}
        title = "<script>window.__pwned=1</script> \u202etitle"
        filled.commit(api, "bob/nasty", files, title, commit_description=WHOLE)
        api.create_discussion("bob/nasty", title="<img src=x onerror=alert(1)>", description=WHOLE)
        filled.commit(
            api,
            "bob/nasty",
            {"README.md": f"---\nlicense: mit\n---\n{WHOLE}"},
            '"><svg onload=alert(1)>',
            create_pr=True,
        )
        yield running


def plant(root, repo_id, card):
    """A card with metadata that the Hub takes from nobody, straight into its store."""
    from hubkit.localhub.store import Store

    store = Store(root)
    repo = store.create(repo_id, private=False, author="bob")
    new = {"README.md": store.objects.add_blob(card.encode())}
    repo.add_commit("main", lambda tree: tree | new, title="Add the card", author="bob")
    store.close()


SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" onload="parent.__pwned=1;alert(1)"><script>alert(1)</script>
<image href="{ELSEWHERE}/i.png" width="9" height="9"/><foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml"
src="{ELSEWHERE}"/></foreignObject></svg>"""
HTML = f"<script>window.__pwned=1;alert(1)</script><img src={ELSEWHERE}/h.png>"


@pytest.fixture
def visitor(browser, hub):
    found = Visit(browser, hub.endpoint, bypass_csp=True)
    yield found
    found.close(but="Failed to load resource")  # images that the repo does not have


def test_each_attack_comes_to_nothing(visitor):
    harm = {}
    for number, name in enumerate(ATTACKS):
        page = visitor.open(f"/bob/nasty/blob/main/attack-{number:02d}.md")
        assert visitor.answer.status == 200, name
        assert page.locator("article.md").count() == ("\0" not in ATTACKS[name]), (
            name
        )  # that file is not text
        harm[name] = page.evaluate(HARM)
    assert {name: found for name, found in harm.items() if found} == {}


PAGES = [
    "/",
    "/?other=%3Csvg+onload%3Dalert%281%29%3E&search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "/bob/nasty",
    "/bob/nasty/tree/main",
    "/bob/nasty/tree/main/a%20b",
    "/bob/nasty/commits/main",
    "/bob/nasty/commit/main",
    "/bob/nasty/compare/main...refs%2Fpr%2F2",
    "/bob/nasty/compare/main...refs%2Fpr%2F2?view=card",
    "/bob/nasty/discussions",
    "/bob/nasty/discussions/1",
    "/bob/nasty/discussions/2",
    "/bob/nasty/tree/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "/bob/%3Cimg%20src=x%20onerror=alert(1)%3E",
]


def test_names_titles_and_metadata_come_to_nothing(visitor):
    harm = {}
    for path in PAGES:
        page = visitor.open(path)
        harm[path] = page.evaluate(HARM)
        # No text of somebody's turns the line that it stands on around.
        outside = page.locator(
            "h1:not(.md *), h2:not(.md *), .chip, .row, .crumb, pre, .said"
        ).all_inner_texts()
        assert "\u202e" not in "".join(outside), path
    assert {path: found for path, found in harm.items() if found} == {}


def test_a_picture_of_shapes_is_shown_and_runs_nothing(visitor):
    page = visitor.open("/bob/nasty")
    width = page.evaluate(
        """async () => {
            const picture = document.createElement('img');
            picture.src = '/bob/nasty/resolve/main/evil.svg';
            document.querySelector('.md').append(picture);
            await picture.decode();
            return picture.naturalWidth;
        }"""
    )
    page.wait_for_timeout(300)
    assert (width > 0, page.evaluate("window.__pwned")) == (True, None)


def test_what_a_pointer_touches_stays_quiet(visitor):
    page = visitor.open("/bob/nasty")
    for node in page.locator("article.md a, article.md summary, .chip").all()[:60]:
        if node.is_visible():
            node.hover()
            node.focus()
    assert page.evaluate(HARM) == []


def test_a_file_opened_by_itself_runs_nothing(browser, hub):
    visitor = Visit(browser, hub.endpoint)
    for name in ("evil.html", "evil.json"):
        page = visitor.open(f"/bob/nasty/resolve/main/{name}")
        assert page.evaluate("[window.__pwned, self.origin]") == [None, "null"]  # it has no origin to act for
    # A picture of shapes is a document when it is opened by itself, so a browser is told to save it.
    page = visitor.open("/bob/nasty")
    with page.expect_download() as saved:
        page.evaluate("location.href = '/bob/nasty/resolve/main/evil.svg'")
    assert saved.value.suggested_filename == "evil.svg"
    page.wait_for_timeout(500)  # time for a call to arrive
    visitor.close(but="Failed to load resource")


def test_the_policy_alone_would_stop_them_too(browser, hub):
    visitor = Visit(browser, hub.endpoint)
    page = visitor.open("/bob/nasty")
    hostile = f"""
        <img src="{ELSEWHERE}/a.png"><img src="x" onerror="window.__pwned = 1"><base href="{ELSEWHERE}/">
        <iframe src="{ELSEWHERE}/b"></iframe><link rel="stylesheet" href="{ELSEWHERE}/c.css">
        <style>p {{color: red}}</style><form id="f" action="{ELSEWHERE}/d"></form>"""
    stopped = page.evaluate(
        """async html => {
            const stopped = new Set();
            const note = event => stopped.add(event.effectiveDirective);
            document.addEventListener('securitypolicyviolation', note);
            document.body.insertAdjacentHTML('beforeend', html);
            const script = document.createElement('script');
            script.textContent = 'window.__pwned = 1';
            document.body.append(script);
            document.getElementById('f').submit();
            await new Promise(done => setTimeout(done, 300));
            return [...stopped].sort();
        }""",
        hostile,
    )
    expected = {
        "base-uri",
        "form-action",
        "frame-src",
        "img-src",
        "script-src-attr",
        "script-src-elem",
        "style-src-elem",
    }
    assert expected <= set(stopped)
    assert page.evaluate("window.__pwned") is None
    assert page.url == f"{hub.endpoint}/bob/nasty"
    # A frame's machine is connected to before the policy forbids the frame, but is not told anything.
    assert set(browser.elsewhere.calls[visitor.called :]) <= {b"nothing"}
    visitor.context.close()


def test_no_page_can_be_framed(browser, hub):
    visitor = Visit(browser, hub.endpoint, bypass_csp=False)
    page = visitor.context.new_page()
    page.set_content(f'<iframe src="{hub.endpoint}/" width=500 height=300></iframe>')
    page.wait_for_timeout(300)
    assert "Models" not in "".join(frame.content() for frame in page.frames[1:])
    visitor.context.close()


def test_a_call_to_elsewhere_is_noticed(browser, hub):
    page = browser.new_page(bypass_csp=True)
    page.goto(hub.endpoint)
    before = len(browser.elsewhere.calls)
    page.set_content(f'<img src="{ELSEWHERE}/a.png">')
    page.wait_for_timeout(300)
    assert browser.elsewhere.calls[before].startswith(b"GET /a.png")
    page.close()


def test_the_checks_find_what_they_look_for(browser, hub):
    """A check that finds nothing on a page made of faults would find nothing anywhere."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, bypass_csp=True)
    page.goto(hub.endpoint)
    page.set_content(
        """<h1>a</h1><h3>b</h3><h1>c</h1><p id=x>x</p><p id=x style="color:#aaa;background:#fff">pale</p>
        <input><img src=data:,x><a href=#></a><div style="width:900px">wide</div>
        <div style="overflow:hidden;width:50px"><p style="width:90px">cut</p></div>"""
    )
    found = json.dumps(page.evaluate(FAULTS))
    for fault in ("no language", "wider than", "heading out of order", "id twice", "no label"):
        assert fault in found
    for fault in ("no alternative text", "no text", "not one main", "script or style"):
        assert fault in found
    for fault in ("contrast", "not shown", "cut off"):
        assert fault in found
    page.set_content(
        """<body><b><footer>x</footer></b><div class=md><p style="position:fixed" onclick="1">x</p>
        <a href="javascript:1">x</a><img src="http://a.invalid/" name=body></div><form action="http://a.invalid"></form>"""
    )
    found = json.dumps(page.evaluate(HARM))
    for harm in (
        "came apart",
        "outside of main",
        "out of its place",
        "never closed",
        "P onclick",
        "href javascript:1",
    ):
        assert harm in found
    for harm in ("loads http://a.invalid/", "a form"):
        assert harm in found
    page.close()
