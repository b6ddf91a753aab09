"""The local Hub's pages as a person meets them: in a real browser, with and without JavaScript."""

import contextlib
import itertools
import re

import pytest
from browser import FAULTS, Visit, follow
from conftest import ALICE, BOB, READER

from hubkit import localhub

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    import filled

    tokens = {
        ALICE: localhub.Token("alice"),
        READER: localhub.Token("alice", "read"),
        BOB: localhub.Token("bob"),
    }
    with localhub.start(tmp_path_factory.mktemp("hub"), tokens=tokens) as running:
        filled.fill(running, ALICE, BOB)
        yield running


@pytest.fixture
def visit(browser, hub):
    """Opens visits, and looks back at each when the test is over."""
    with contextlib.ExitStack() as stack:

        def start(*, but=(), **options):
            visitor = Visit(browser, hub.endpoint, **options)
            stack.callback(visitor.close, but=but)
            return visitor

        yield start


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def visitor(visit, request):
    """A visitor whose browser runs scripts, and one whose browser does not: the same pages."""
    return visit(java_script_enabled=request.param)


def models(page):
    """The ids of the models that the list shows, in order."""
    return page.locator(".cards h2 > span:not(.face):not(.pill)").all_inner_texts()


def head_of(page, label):
    """The commit whose title is this, from the list of commits."""
    return page.get_by_role("link", name=label, exact=True).get_attribute("href").rsplit("/", 1)[1]


# --- the list


def test_the_list_in_pages_and_in_order(visitor):
    page = visitor.open("/")
    assert page.locator("h1").inner_text() == "Models 58"
    shown = models(page)
    assert len(shown) == 50
    follow(page.get_by_role("link", name="Next →"))
    assert page.url.endswith("/?p=2")
    rest = models(page)
    assert len({*shown, *rest}) == 58
    assert "alice/first" in rest  # the oldest come last
    follow(page.get_by_role("link", name="Name", exact=True))
    assert models(page)[0] == "alice/base"
    assert page.get_by_role("link", name="Next →").get_attribute("href") == "/?sort=name&p=2"
    assert models(visitor.open("/?sort=name&p=99")) == models(visitor.open("/?sort=name&p=2"))


def test_search(visitor):
    page = visitor.open("/")
    page.get_by_label("Search models by name").fill("ALICE")
    follow(page.get_by_role("button", name="Search"))
    assert set(models(page)) == {"alice/base", "alice/first", "alice/quantised"}
    assert page.get_by_label("Search models by name").input_value() == "ALICE"
    follow(page.get_by_role("link", name="LoRA 1", exact=True))
    assert models(page) == ["alice/first"]
    page.get_by_label("Search models by name").fill("nothing like it")
    page.get_by_label("Search models by name").press("Enter")
    assert "method=lora" in page.url
    assert "No model matches" in page.inner_text("main")
    follow(page.get_by_role("link", name="Clear all filters"))
    assert page.locator("h1").inner_text() == "Models 58"
    # The box above every other page leads here.
    page = visitor.open("/alice/first")
    page.get_by_label("Search models").fill("pruned")
    page.get_by_label("Search models").press("Enter")
    assert models(page) == ["bob/pruned"]


FILTERS = [
    ("Owner", "bob", "author=bob", {"bob/pruned", "bob/product", "bob/scaled", "bob/empty", "bob/gated"}),
    ("Base model", "alice/base", "base_model=alice%2Fbase", {"alice/first", "alice/quantised"}),
    ("Method", "LoRA", "method=lora", {"alice/first"}),
    ("Method", "QLoRA", "method=qlora", {"alice/quantised"}),
    ("Method", "Sparse LoRA", "method=sparse-lora", {"bob/pruned"}),
    ("Method", "HiRA", "method=hira", {"bob/product"}),
    ("Method", "IA3", "method=ia3", {"bob/scaled"}),
    ("Task", "fill-mask", "pipeline_tag=fill-mask", {"bob/pruned"}),
    ("Tag", "lora", "other=lora", {"alice/first", "alice/quantised", "bob/pruned"}),
]


@pytest.mark.parametrize(("title", "value", "query", "left"), FILTERS, ids=[row[2] for row in FILTERS])
def test_each_filter(visit, title, value, query, left):
    visitor = visit(java_script_enabled=False)
    page = visitor.open("/")
    choices = page.locator("section", has=page.get_by_role("heading", name=title, exact=True))
    follow(choices.get_by_role("link", name=f"{value} {len(left)}", exact=True))
    assert page.url.endswith(f"/?{query}")
    assert set(models(page)) == left
    assert page.locator("h1").inner_text() == f"Models {len(left)}"
    chosen = page.locator(".filters a.on")
    assert chosen.inner_text().startswith(value)
    follow(chosen)
    assert page.url == f"{visitor.endpoint}/"


def test_filters_add_up_and_their_address_can_be_shared(visit):
    visitor = visit()
    page = visitor.open("/")
    for name in ("lora 3", "qlora 1"):
        follow(page.get_by_role("link", name=name, exact=True))
    address = page.url
    assert address.endswith("/?other=lora&other=qlora")
    assert models(page) == ["alice/quantised"]
    # What the other filters would leave now.
    assert page.locator(".filters").get_by_role("link", name="alice/base 1").is_visible()
    assert models(visitor.open("/?other=license%3Aapache-2.0&author=alice&method=lora")) == ["alice/first"]
    for bad in ("/?other=%00&p=x&sort=%F0%9F", "/?method=no&method=lora", f"/?search={'x' * 9000}"):
        assert visitor.open(bad).locator("h1").is_visible()
    assert visitor.open("/models?author=bob").locator("h1").inner_text() == "Models 5"


def test_the_models_of_an_owner(visit):
    visitor = visit(but="Failed to load resource")
    page = visitor.open("/bob")
    assert page.locator("h1").inner_text() == "bob 5"
    visitor.open("/nobody")
    assert visitor.answer.status == 404


def test_chips_lead_to_the_list(visit):
    page = visit().open("/alice/first")
    follow(page.locator(".chips").get_by_role("link", name="alice/base"))
    assert set(models(page)) == {"alice/first", "alice/quantised"}


# --- a repo


def test_a_repos_tabs(visitor):
    page = visitor.open("/alice/first")
    assert page.locator(".md h1").inner_text() == "A better adapter"
    for text in (
        "Adapter",
        "Model tree",
        "Evaluation results",
        "12.5",
        "800",
        "LoRA",
        "Adapter of alice/base",
    ):
        assert text in page.inner_text("aside")
    follow(page.get_by_role("link", name="a link", exact=True))
    assert page.url.endswith("/alice/first/blob/main/docs/notes.md")
    follow(page.get_by_role("link", name="Files and versions"))
    assert {"README.md", "figures", "adapter_model.safetensors"} <= set(
        page.locator(".row.f .n a").all_inner_texts()
    )
    follow(page.get_by_role("link", name="adapter_model.safetensors", exact=True))
    assert "8 × 100" in page.inner_text("main table")
    page.locator("summary").click()
    follow(page.get_by_role("link", name="v1", exact=True))
    assert page.url.endswith("/alice/first/tree/v1")
    follow(page.get_by_role("link", name="README.md", exact=True))
    assert "# An adapter" in page.inner_text("main pre")
    follow(page.get_by_role("link", name="Commits"))
    assert page.locator(".row.h b").all_inner_texts() == ["Add the card", "initial commit"]
    page = visitor.open("/alice/first/commits/main")
    assert page.locator(".row.h:not(.top)").nth(0).locator(".pill").all_inner_texts() == ["dev", "main"]
    assert page.locator(".row.h:not(.top)").nth(1).locator(".pill").all_inner_texts() == ["v1"]
    follow(page.get_by_role("link", name="Community"))
    assert page.locator(".list b").all_inner_texts() == ["A question", "Change the words"]


def test_a_base_shows_what_was_made_of_it(visit):
    page = visit().open("/alice/base")
    follow(page.locator("aside").get_by_role("link", name="2 models"))
    assert set(models(page)) == {"alice/first", "alice/quantised"}


def test_collections(visitor):
    page = visitor.open("/alice/first")
    follow(page.locator("aside").get_by_role("link", name="Small things"))
    assert page.locator("h1").inner_text() == "Small things 2"
    assert models(page) == ["alice/first", "bob/pruned"]  # and not the private one
    assert "Worth a look" in page.inner_text("main")
    follow(page.get_by_role("link", name="Collections"))
    assert page.locator(".cards h2").all_inner_texts() == ["Small things"]
    assert "local · 2 models" in page.inner_text("main")


def test_a_gated_model_shows_its_card_and_not_its_files(visit, hub):
    visitor = visit(but="Failed to load resource")
    page = visitor.open("/bob/gated")
    assert "This model is gated" in page.inner_text("main")
    for path in ("blob/main/README.md", "commit/main", "compare/main...main"):
        visitor.open(f"/bob/gated/{path}")
        assert visitor.answer.status == 401
        assert page.locator("h1").inner_text() == "This model is gated"
        page.get_by_label("Token").is_visible()
    visitor.sign_in(BOB)
    visitor.open("/bob/gated/blob/main/README.md")
    assert visitor.answer.status == 200


def test_a_commit(visitor):
    page = visitor.open("/alice/first/commits")
    follow(page.get_by_role("link", name="Say more", exact=True))
    assert "In two\nlines" in page.text_content("main")
    assert "+# A better adapter" in page.locator(".diff .a").all_inner_texts()
    assert "-# An adapter" in page.locator(".diff .d").all_inner_texts()
    follow(page.get_by_role("link", name="Files at this commit"))
    assert "/tree/" in page.url


def test_two_commits_are_chosen_and_compared(visitor):
    page = visitor.open("/alice/first/commits")
    newest, oldest = head_of(page, "Say more"), head_of(page, "initial commit")
    page.locator(f'input[name=from][value="{oldest}"]').check()
    page.locator(f'input[name=to][value="{newest}"]').check()
    follow(page.get_by_role("button", name="Compare the lines"))
    assert page.url.endswith(f"/alice/first/compare/{oldest}...{newest}")
    assert "+# A better adapter" in page.locator(".diff .a").all_inner_texts()
    assert page.locator(".diff .d").count() == 0
    page.locator("select[name=from]").select_option("v1")
    page.locator("select[name=to]").select_option("refs/pr/1")
    follow(page.get_by_role("button", name="Compare"))
    assert page.url.endswith("/alice/first/compare/v1...refs%2Fpr%2F1")
    assert "+Other words." in page.locator(".diff .a").all_inner_texts()
    follow(page.get_by_role("link", name="Cards side by side"))
    assert page.locator(".sides .md h1").all_inner_texts() == ["An adapter", "A better adapter"]
    first, second = (page.locator(".sides > div").nth(n).bounding_box() for n in (0, 1))
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] < second["x"]
    follow(page.get_by_role("link", name="Swap"))
    assert page.locator(".sides .md h1").all_inner_texts() == ["A better adapter", "An adapter"]
    page = visitor.open("/alice/first/compare/main...dev?view=card")
    assert "The card is the same in both." in page.inner_text("main")


@pytest.mark.parametrize("pair", ["main", "main...", "...main", "main...nope", "main..dev", "a...b...c"])
def test_what_cannot_be_compared(visit, pair):
    visitor = visit(but="Failed to load resource")
    visitor.open(f"/alice/first/compare/{pair}")
    assert visitor.answer.status == 404


def test_a_pull_request(visitor):
    page = visitor.open("/alice/first/discussions/1")
    assert "wants to change main from refs/pr/1" in page.inner_text("main")
    assert page.locator(".diff .a").all_inner_texts() == ["+Other words."]
    assert page.locator(".diff .d").all_inner_texts() == ["-More words."]
    # Looking changes nothing: there is no form on the page that does, and the command is told instead.
    assert page.locator("main form").count() == 0
    assert f"HF_ENDPOINT={visitor.endpoint} hf discussions merge alice/first 1" in page.inner_text(
        "main pre >> nth=0"
    )
    follow(page.get_by_role("link", name="Cards side by side"))
    assert page.locator(".sides .md").nth(1).inner_text().strip().endswith("Other words.")


def test_a_private_repo_after_signing_in(visit, hub):
    visitor = visit(java_script_enabled=False, but="Failed to load resource")
    page = visitor.open("/local/secret")
    assert visitor.answer.status == 404
    assert "local/secret" not in models(visitor.open("/?sort=name&p=2"))
    visitor.sign_in("hf_wrong")
    assert "knows no such token" in page.inner_text("main")
    visitor.sign_in(hub.token)
    assert page.url == f"{hub.endpoint}/"
    [cookie] = visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    follow(page.get_by_role("link", name="private 1", exact=True))
    assert models(page) == ["local/secret"]
    page = visitor.open("/local/secret")
    assert visitor.answer.status == 200
    assert page.locator(".head h1 .pill").inner_text() == "private"
    # Another user's token shows another user's repos.
    other = visit(but="Failed to load resource")
    other.sign_in(ALICE)
    other.open("/local/secret")
    assert other.answer.status == 404


# --- how it looks

PAGES = {
    "list": "/",
    "filtered list": "/?author=alice&search=first",
    "nothing found": "/?search=nothing",
    "card": "/alice/first",
    "card of a base": "/alice/base",
    "no card": "/bob/empty",
    "files": "/alice/first/tree/main",
    "folder": "/alice/first/tree/main/figures",
    "text": "/alice/first/blob/main/README.md",
    "Markdown": "/alice/first/blob/main/docs/notes.md",
    "tensors": "/alice/first/blob/main/adapter_model.safetensors",
    "picture": "/alice/first/blob/main/figures/loss.png",
    "commits": "/alice/first/commits/main",
    "commit": "/alice/first/commit/main",
    "compare": "/alice/first/compare/v1...main",
    "cards": "/alice/first/compare/v1...main?view=card",
    "community": "/alice/first/discussions",
    "pull request": "/alice/first/discussions/1",
    "discussion": "/alice/first/discussions/2",
    "collections": "/collections",
    "sign in": "/login",
    "not there": "/alice/nothing",
}
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def test_every_page_is_sound(visit):
    visitor = visit(but="Failed to load resource")
    faults = {}
    for name, path in PAGES.items():
        page = visitor.open(path)
        assert visitor.answer.headers["content-security-policy"].startswith("default-src 'none'")
        for window, scheme in itertools.product((DESK, PHONE), ("light", "dark")):
            page.set_viewport_size(window)
            page.emulate_media(color_scheme=scheme)
            if name == "list":
                page.locator("#hk-filters").set_checked(window is PHONE, force=True)
            faults[name, window["width"], scheme] = page.evaluate(FAULTS)
    assert {where: found for where, found in faults.items() if found} == {}


def test_light_and_dark(visit):
    def ground(scheme):
        page = visit(color_scheme=scheme).open("/alice/first")
        ground = "name => getComputedStyle(document.querySelector(name)).backgroundColor"
        colours = [page.evaluate(ground, name) for name in ("body", ".chip", "pre", ".wide th")]
        return [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]

    assert min(ground("light")) > 690
    assert max(ground("dark")) < 180


def test_figures_are_shown(visit):
    page = visit().open("/alice/first")
    figure = page.get_by_alt_text("The loss over the steps")
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("node => node.decode().then(() => node.naturalWidth)") == 320
    badge = page.get_by_role("link", name="image: badge")
    assert badge.get_attribute("href") == "https://example.org/badge.svg"


FOCUS = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    return [(at.textContent || at.name).trim(), style.outlineStyle, style.outlineWidth];
}"""


def test_by_keyboard_alone(visit):
    page = visit().open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    names = []
    for _ in range(25):
        page.keyboard.press("Tab")
        name, style, width = page.evaluate(FOCUS)
        names.append(name)
        assert (style, float(width.removesuffix("px")) >= 2) == ("solid", True), name
    assert "search" in names
    page.get_by_role("link", name="HiRA 1", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?method=hira")
    assert models(page) == ["bob/product"]
    # On a phone the filters unfold by the space bar.
    page = visit(viewport=PHONE).open("/")
    filters = page.get_by_role("link", name="HiRA 1", exact=True)
    assert not filters.is_visible()
    page.get_by_label("Filters").focus()
    page.keyboard.press("Space")
    assert filters.is_visible()


def test_the_pages_are_the_same_without_javascript(visit):
    with_script, without = visit(but="Failed"), visit(but="Failed", java_script_enabled=False)
    for name in ("list", "card", "commits", "cards", "pull request"):
        path = PAGES[name]
        assert with_script.open(path).content() == without.open(path).content()
