"""The list of models: what is read of a repo for it, and what filters leave."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.localhub import listing
from hubkit.localhub.listing import Entry, Facts, Wanted, choose, entries, facts_at
from hubkit.localhub.page_index import wanted_of
from hubkit.localhub.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = Store(tmp_path_factory.mktemp("store"))
    yield opened
    opened.close()


def made(store, repo_id, files):
    """A repo with these files."""
    repo = store.create(repo_id, private=False, author="user")
    new = {path: store.objects.add_blob(text.encode()) for path, text in files.items()}
    repo.add_commit("main", lambda tree: tree | new, title="Add", author="user")
    return repo


@pytest.mark.parametrize(
    ("method", "peft", "tags", "record"),
    [
        ("lora", "LORA", ["lora"], None),
        ("qlora", "LORA", ["lora", "qlora"], None),
        ("sparse-lora", "LORA", ["sparse"], None),
        ("hira", "HIRA", [], None),
        ("ia3", "IA3", ["qlora"], None),
        ("prefix-tuning", "PREFIX_TUNING", [], None),
        ("qlora", "LORA", [], {"method": {"name": "qlora"}}),
        ("sparse-lora", "LORA", [], {"method": {"name": "sparse-lora"}}),
        # A record that speaks of another adapter than the one at hand, or of none.
        ("lora", "LORA", [], {"method": {"name": "hira"}}),
        ("lora", "LORA", [], {"method": "qlora"}),
        ("lora", "LORA", [], {"method": {"name": ["qlora"]}}),
        ("", None, ["lora"], {"method": {"name": "lora"}}),
    ],
)
def test_the_method(store, method, peft, tags, record):
    config = {"adapter_config.json": json.dumps({"peft_type": peft})} if peft else {}
    files = {"README.md": f"---\ntags: {json.dumps(tags)}\n---\n", **config}
    if record:
        files["hubkit.json"] = json.dumps(record)
    repo = made(store, f"user/method-{len(store.repos())}", files)
    assert facts_at(repo, repo.resolve("main")).method == method


def test_facts_are_read_once_a_commit_and_are_bounded(store, monkeypatch):
    card = {
        "tags": [f"{n}" + "x" * 300 for n in range(150)],
        "base_model": ["a/b"],
        "pipeline_tag": {"not": "text"},
    }
    repo = made(store, "user/large", {"README.md": f"---\n{json.dumps(card)}\n---\n"})
    [entry] = entries([repo])
    assert (len(entry.facts.labels), max(map(len, entry.facts.labels)), entry.facts.task) == (100, 200, "")
    assert sum(map(len, entry.facts.tags)) <= 100 * 200
    assert facts_at.cache_info().maxsize == listing.REMEMBERED
    monkeypatch.setattr(listing, "card_of", None)  # it is not read a second time
    assert entries([repo]) == [entry]
    monkeypatch.undo()
    new = {"README.md": store.objects.add_blob(b"---\ntags: [new]\n---\n")}
    repo.add_commit("main", lambda tree: tree | new, title="Change", author="user")
    assert entries([repo])[0].facts.labels == ("new",)
    store.delete("user/large")
    assert entries([repo]) == []  # removed while the list was made


SOME = settings(max_examples=min(settings.default.max_examples, 200))
_TAGS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple)


def _entry(number, owner, method, base, tags):
    facts = Facts(f"2026-01-{number % 28 + 1:02d}", "", method, (base,), tags, frozenset(tags), 0)
    return Entry(f"{owner}/m{number}", False, False, facts)


_WORDS = st.sampled_from(["x", "y"])
_ENTRIES = st.lists(st.tuples(_WORDS, _WORDS, _WORDS, _TAGS), max_size=12).map(
    lambda rows: [_entry(number, *row) for number, row in enumerate(rows)]
)


@SOME
@given(
    _ENTRIES,
    st.dictionaries(st.sampled_from(["author", "method", "base_model"]), _WORDS.map(lambda w: (w,))),
    _TAGS,
)
def test_a_filters_number_is_what_it_leaves(listed, chosen, tags):
    """The promise of the numbers beside the filters: click one, and that many models are there."""
    wanted = Wanted("", {**chosen, **({"other": tags} if tags else {})}, "recent", 1)
    found, counts = choose(listed, wanted)
    for facet in ("author", "method", "base_model"):
        for value in ("x", "y"):
            then, _ = choose(listed, Wanted("", {**wanted.chosen, facet: (value,)}, "recent", 1))
            assert counts[facet][value] == len(then)
    for tag in ("a", "b", "c"):
        then, _ = choose(listed, Wanted("", {**wanted.chosen, "other": (*tags, tag)}, "recent", 1))
        assert counts["other"][tag] == len(then)
    assert [entry.facts.date for entry in found] == sorted((e.facts.date for e in found), reverse=True)


def test_search_wants_every_word_in_the_name():
    listed = [_entry(n, "user", "x", "y", ()) for n in range(12)]
    assert [e.id for e in choose(listed, wanted_of("search=M1+USER&sort=name"))[0]] == [
        "user/m1",
        "user/m10",
        "user/m11",
    ]
    assert choose(listed, wanted_of("search=m1+other"))[0] == []


@SOME
@given(
    st.text(max_size=80)
    | st.from_regex(r"(search|p|sort|other|method|author)=[^&]{0,9}(&(other|p)=.{0,9})*", fullmatch=True)
)
def test_any_query_is_read_and_its_address_means_the_same(query):
    wanted = wanted_of(query)
    assert wanted.page >= 1
    address = wanted.address(wanted.page)
    assert address.startswith("/")
    again = wanted_of(address.partition("?")[2])
    assert again.address(again.page) == address


def test_an_address_of_a_filter():
    assert listing.filter_address("base_model", "a/b & c") == "/?base_model=a%2Fb+%26+c"
    assert Wanted("", {}, "recent", 3).address() == "/"
    assert (
        Wanted("x", {"other": ("a", "b")}, "name", 1).address(2) == "/?search=x&other=a&other=b&sort=name&p=2"
    )
