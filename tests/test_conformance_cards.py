"""Front matter that the Hub refuses: by a commit and by validate-yaml, each in words that name the key."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml
from conforming import ask, commit, created, running, text_file
from hypothesis import given, settings
from hypothesis import strategies as st

TASK = "task: {type: text-generation}"
DATA = "dataset: {type: a/b, name: B}"
METRIC = "metrics: [{type: perplexity, value: 1.5}]"


def index(task=TASK, dataset=DATA, metrics=METRIC):
    """A model-index of one result."""
    return f"model-index: [{{name: x, results: [{{{task}, {dataset}, {metrics}}}]}}]"


# The front matter, and how the Hub's own message begins: the key in quotes, as its validator names it.
WRONG = [
    ("license: mitt", '"license" must be'),
    ("license: MIT", '"license" must be'),
    ("license: Apache 2.0", '"license" must be'),
    ("license: gpl-2.0-or-later", '"license" must be'),
    ("license: null", '"license" must be'),
    ("license: 3", '"license" must be'),
    ("license: {mit: true}", '"license" must be'),
    ("license: [mit, nope]", '"license" must be'),
    ("license: other", '"license: other" needs "license_name"'),
    ("license: other\nlicense_name: own", '"license: other" needs "license_link"'),
    ("license: mit\nlicense_link: see our page", '"license_link" must be'),
    ("language: english", '"language" must be'),
    ("language: EN", '"language" must be'),
    ("language: zh-CN", '"language" must be'),
    ("language: jp", '"language" must be'),
    ("language: [en, noinfo]", '"language" must be'),
    ("language: false", '"language" is false'),
    ("language: 3", '"language" must be'),
    ("pipeline_tag: text_generation", '"pipeline_tag" must be'),
    ("pipeline_tag: causal-lm", '"pipeline_tag" must be'),
    ("pipeline_tag: [text-generation]", '"pipeline_tag" must be'),
    ("library_name: [peft]", '"library_name" must be'),
    ("tags: [lora, 2026]", '"tags" must be'),
    ("tags: {lora: true}", '"tags" must be'),
    ("metrics: [{type: f1}]", '"metrics" must be'),
    ("widget: hello", '"widget" must be an array'),
    ("datasets: /var/hf/images/", '"datasets" must be'),
    ("datasets: [WikiText 2]", '"datasets" must be'),
    ("base_model: ''", '"base_model" must be'),
    ("base_model: /home/me/model", '"base_model" must be'),
    ("base_model: ./model", '"base_model" must be'),
    ("base_model: https://huggingface.co/a/b", '"base_model" must be'),
    ("base_model: a/b/c", '"base_model" must be'),
    ("base_model: {a: b}", '"base_model" must be'),
    ("base_model: a/b\nbase_model_relation: child", '"base_model_relation" must be one of'),
    ("model-index: {}", '"model-index" must be'),
    ("model-index: [{results: []}]", '"model-index[0].name" is required'),
    ("model-index: [{name: x}]", '"model-index[0].results" must be'),
    (index(task="task: {}"), '"model-index[0].results[0].task.type" is required'),
    (index(dataset="dataset: {name: B}"), '"model-index[0].results[0].dataset.type" is required'),
    (index(dataset="dataset: {type: a/b}"), '"model-index[0].results[0].dataset.name" is required'),
    (
        index(dataset="dataset: {type: a/b, name: B, config: 3}"),
        '"model-index[0].results[0].dataset.config" must be a string',
    ),
    (index(metrics="metrics: []"), '"model-index[0].results[0].metrics" must be'),
    (index(metrics="metrics: [{value: 1}]"), '"model-index[0].results[0].metrics[0].type" is required'),
    (index(metrics="metrics: [{type: f1}]"), '"model-index[0].results[0].metrics[0].value" is required'),
    (
        index(metrics="metrics: [{type: f1, value: null}]"),
        '"model-index[0].results[0].metrics[0].value" must',
    ),
    (
        index(metrics="metrics: [{type: f1, value: .nan}]"),
        '"model-index[0].results[0].metrics[0].value" must',
    ),
    ("license: [", "the front matter is not YAML"),
    ("license: mit\nlicense: mit", "duplicated mapping key"),
    ("a: &x [*x]", "too many values"),
    ("- license", "must be a mapping"),
    ("just words", "must be a mapping"),
    ("a: !!python/object:os.system x", "the front matter is not YAML"),
    ("a: \tb: c", "the front matter is not YAML"),
]
RIGHT = [
    "license: mit",
    "license: [mit, apache-2.0]",
    "license: other\nlicense_name: own\nlicense_link: LICENSE",
    "language: no",
    "language: [en, deu, code, multilingual]",
    "tags: lora",
    "base_model: [gpt2, a/b]\nbase_model_relation: adapter",
    "anything: {the: author, likes: [null]}",
    "widget: [{text: Hi}]",
    index(),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def repo(hub):
    return created(hub)


def verdicts(hub, repo, text, newline="\n"):
    """What validate-yaml and a commit say of a card with this front matter."""
    card = f"---\n{text}\n---\n# Hi\n".replace("\n", newline)
    asked = ask(hub, "POST", "/api/validate-yaml", {"content": card, "repoType": "model"})
    pushed = commit(hub, repo, text_file("README.md", card))
    return asked, pushed


@pytest.mark.parametrize("newline", ["\n", pytest.param("\r\n", marks=pytest.mark.soak)])
def test_what_is_wrong_is_refused_by_both_in_the_same_words(hub, repo, newline):
    before = ask(hub, "GET", f"/api/models/{repo}").json["sha"]
    for text, words in WRONG:
        asked, pushed = verdicts(hub, repo, text, newline)
        assert (asked.status, pushed.status) == (400, 400), text
        messages = [error["message"] for error in asked.json["errors"]]
        assert any(words in message for message in messages), (text, messages)
        assert pushed.error.split("\n") == messages, text
        assert all(message == " ".join(message.split()) for message in messages)
    assert ask(hub, "GET", f"/api/models/{repo}").json["sha"] == before


def test_what_is_right_is_taken_by_both(hub, repo):
    for text in RIGHT:
        asked, pushed = verdicts(hub, repo, text)
        assert (asked.status, asked.json, pushed.status) == (200, {"errors": [], "warnings": []}, 200), text


def test_no_front_matter_is_a_warning(hub, repo):
    for card in ("# Hi\n", "", "---\n---\n", "text\n---\nlicense: mitt\n---\n"):
        asked = ask(hub, "POST", "/api/validate-yaml", {"content": card})
        assert (asked.status, asked.json["errors"], len(asked.json["warnings"])) == (200, [], 1), card
        assert commit(hub, repo, text_file("README.md", card)).status == 200
    # Only the README.md at the top is a card.
    assert commit(hub, repo, text_file("docs/README.md", "---\nlicense: mitt\n---\n")).status == 200
    assert ask(hub, "POST", "/api/validate-yaml", {"content": 3}).status == 400


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=True)
    | st.sampled_from(["mit", "other", "en", "no", "a/b", "peft", "text-generation", "adapter", ""])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "type"]), inner),
    max_leaves=5,
)
KEYS = ["license", "license_name", "license_link", "language", "tags", "metrics", "datasets", "widget"]
KEYS += ["pipeline_tag", "library_name", "base_model", "base_model_relation", "model-index", "own"]


@pytest.mark.soak
@settings(max_examples=max(15, settings().max_examples // 4))
@given(metadata=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3))
def test_a_commit_and_validate_yaml_never_disagree(hub, repo, metadata):
    asked, pushed = verdicts(hub, repo, yaml.safe_dump(metadata, allow_unicode=True).rstrip("\n"))
    assert asked.status == pushed.status
    assert asked.status in (200, 400)
    assert json.dumps(asked.json)


def test_these_tests_use_nothing_of_hubkit_but_the_server():
    here = Path(__file__).parent
    files = [here / "conforming.py", *here.glob("test_conformance_*.py")]
    assert len(files) >= 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] == "hubkit" and n != "hubkit.localhub"], file
