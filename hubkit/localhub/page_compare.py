"""Two commits of a repo beside each other: the lines that changed, and the two cards as they are shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hubkit.hub_rules import DEFAULT_BRANCH
from hubkit.localhub import page_facts as facts
from hubkit.localhub.call import Call
from hubkit.localhub.card import CARD_MAX, card_of
from hubkit.localhub.highlight import highlight
from hubkit.localhub.history import changes_between
from hubkit.localhub.markdown import render_markdown, repo_address
from hubkit.localhub.page_shell import repo_page
from hubkit.localhub.repo import NotThere, Repo

CARD = "README.md"


def compare_address(repo_id: str, before: str, after: str, view: str = "") -> str:
    """The address of a comparison."""
    pair = f"{quote(before, safe='')}...{quote(after, safe='')}"
    return f"/{repo_id}/compare/{pair}{f'?view={view}' if view else ''}"


def choose(call: Call) -> Response:
    """From the form to the address that says the same and can be shared."""
    repo = call.repo()
    before, after = call.query("from"), call.query("to")
    for revision in (before, after):
        repo.resolve(repo.expand(revision))
    return RedirectResponse(compare_address(repo.id, before, after, call.query("view")), 303)


def compare(call: Call) -> Response:
    """GET /ID/compare/A...B: what B has that A has not, as lines or, with ?view=card, as two cards."""
    repo = call.repo()
    call.check_content(repo)
    before, dots, after = call.param("range").partition("...")
    if not dots:
        raise NotThere("revision", "Name two revisions to compare, as in main...refs/pr/1")
    before, after = repo.expand(before), repo.expand(after)
    old, new = repo.resolve(before), repo.resolve(after)
    changes = changes_between(repo.tree(old), repo.tree(new))
    as_cards = call.query("view") == "card"
    return repo_page(
        call,
        "compare.html.j2",
        repo,
        new,
        "history",
        DEFAULT_BRANCH,
        before=_side(repo, before, old, as_cards, "a-"),
        after=_side(repo, after, new, as_cards, "b-"),
        names=facts.revision_names(repo, 30),
        swapped=compare_address(repo.id, after, before, "card" if as_cards else ""),
        view_list=[
            ("Changed lines", compare_address(repo.id, before, after), not as_cards),
            ("Cards side by side", compare_address(repo.id, before, after, "card"), as_cards),
        ],
        as_cards=as_cards,
        same_card=CARD not in changes,
        files=[] if as_cards else facts.diff_blocks(repo, changes),
    )


def _side(repo: Repo, revision: str, oid: str, as_card: bool, prefix: str) -> dict[str, Any]:
    shown = revision[:7] if len(revision) == 40 else revision
    side = {"revision": revision, "name": shown, "commit": facts.commit_line(repo, repo.commit(oid))}
    if as_card:
        tree = repo.tree(oid)
        file, body = tree.get(CARD), card_of(repo, tree).body
        small = file is not None and not file.sha256 and file.size <= CARD_MAX
        text = repo.objects.path(file).read_text("utf-8", "replace") if file and small else ""
        side["front"] = Markup(highlight(text[: len(text) - len(body)].strip(), "yaml"))
        side["body"] = Markup(render_markdown(body, repo_address(repo.id, oid), prefix))
    return side
