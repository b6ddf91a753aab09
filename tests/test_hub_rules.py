"""The Hub's rules: what a card's front matter may say, what an id looks like, what goes to LFS."""

import subprocess
import sys

import pytest

from hubkit import hub_rules
from hubkit.hub_rules import front_matter_problems, goes_to_lfs, is_repo_id


def result(**changes):
    dataset = {"type": "user/text", "name": "Text", "config": "default", "split": "test"}
    metric = {"type": "perplexity", "value": 12.5}
    whole = {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": [metric]}
    return {"model-index": [{"name": "adapter", "results": [whole | changes]}]}


GOOD = {
    "license": "apache-2.0",
    "language": ["en", "deu", "multilingual"],
    "pipeline_tag": "text-generation",
    "library_name": "peft",
    "base_model": ["bert-base-uncased", "user/model"],
    "base_model_relation": "adapter",
    "datasets": ["imdb", "user/data"],
    "tags": ["lora"],
    "some_key_of_the_author": None,
} | result()


def test_a_good_card_has_no_problems():
    assert front_matter_problems(GOOD) == []
    assert front_matter_problems({}) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"license": "apache2"}, "did you mean 'apache-2.0'"),
        ({"license": None}, "license"),
        ({"license": ["mit", "nope"]}, "'nope'"),
        ({"license": "other", "license_link": "LICENSE"}, "license_name"),
        ({"license": "other", "license_name": "own"}, "license_link"),
        ({"license_link": "see the wiki page"}, "license_link"),
        ({"language": False}, 'write "no" in quotes'),
        ({"language": ["EN"]}, "'EN'"),
        ({"language": "english"}, "'english'"),
        ({"pipeline_tag": "text_generation"}, "did you mean 'text-generation'"),
        ({"pipeline_tag": None}, "pipeline_tag"),
        ({"pipeline_tag": ["text-generation"]}, "pipeline_tag"),
        ({"library_name": 3}, "library_name"),
        ({"tags": ["lora", 2026]}, "2026"),
        ({"datasets": ["WikiText 2"]}, "WikiText 2"),
        ({"base_model": "/home/me/model"}, "never a path"),
        ({"base_model": "./model"}, "never a path"),
        ({"base_model": "C:\\model"}, "never a path"),
        ({"base_model": "a/b/c"}, "never a path"),
        ({"base_model_relation": "child"}, "base_model_relation"),
        ({"model-index": {}}, "must be a list"),
        ({"model-index": [{"results": []}]}, "name"),
        ({"model-index": [{"name": "x", "results": 3}]}, "results"),
        (result(task={}), "task.type"),
        (result(dataset={"type": "t"}), "dataset.name"),
        (result(dataset={"name": "t"}), "dataset.type"),
        (result(dataset={"type": "t", "name": "t", "config": 3}), "dataset.config"),
        (result(dataset={"type": "t", "name": "t", "config": None}), "null"),
        (result(metrics=[]), "at least one metric"),
        (result(metrics=[{"value": 1}]), "metrics[0].type"),
        (result(metrics=[{"type": "f1"}]), "metrics[0].value"),
        (result(metrics=[{"type": "f1", "value": None}]), "null"),
        (result(metrics=[{"type": "f1", "value": float("nan")}]), "finite"),
        (result(metrics=[{"type": "f1", "value": 1, "args": {"k": [float("inf")]}}]), "args.k[0]"),
    ],
)
def test_each_problem_is_one_line_that_names_it(changes, words):
    problems = front_matter_problems(GOOD | changes)
    assert len(problems) == 1
    assert words in problems[0]
    assert "\n" not in problems[0]


def test_front_matter_that_is_no_mapping():
    assert front_matter_problems(["a"]) == ["the front matter must be a mapping of keys to values"]


@pytest.mark.parametrize("text", ["gpt2", "user/name", "User-1/a.b_c-d", "a" * 96, "a/b"])
def test_repo_ids(text):
    assert is_repo_id(text)
    assert is_repo_id(text, namespace=True) == ("/" in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "a/b/c",
        "-a",
        "a-",
        ".a",
        "a.",
        "a--b",
        "a..b",
        "a b",
        "ü",
        "a.git",
        "a" * 97,
        None,
    ],
)
def test_what_is_no_repo_id(text):
    assert not is_repo_id(text)


def test_repo_ids_agree_with_the_client():
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    for text in [
        "a",
        "a/b",
        "_a",
        "a_",
        "a.b/c",
        "a--b",
        "a/b--c",
        "a.-b",
        "x.git",
        "a/.b",
        "a/b.",
        "-/-",
        "a-/b",
        "a/-b",
    ]:
        try:
            validate_repo_id(text)
            accepted = True
        except HFValidationError:
            accepted = False
        assert is_repo_id(text) == accepted, text


@pytest.mark.parametrize(
    ("path", "size", "sample", "lfs"),
    [
        ("adapter_model.safetensors", 10, b"", True),
        ("deep/er/weights.bin", 10, b"", True),
        ("saved_model/1/x", 10, b"", True),
        ("events.out.tfevents.1", 10, b"", True),
        ("figure.png", 10, b"\x89PNG\0", True),
        ("README.md", 10, b"# hi", False),
        ("big.txt", hub_rules.REGULAR_FILE_MAX + 1, b"text", True),
        ("empty.safetensors", 0, b"", False),
    ],
)
def test_what_goes_to_lfs(path, size, sample, lfs):
    assert goes_to_lfs(path, size, sample) == lfs


def test_the_rules_cost_nothing_to_import():
    heavy = "{'yaml', 'jinja2', 'huggingface_hub', 'difflib'}"
    code = f"import sys, hubkit.hub_rules; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["main", "v1.0", "feature/x", "a-b", "a@b", "a#b", "a+b", "x" * 80])
def test_names_of_branches_and_tags(name: str) -> None:
    assert hub_rules.is_ref_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "-x", "/x", "x/", "a//b", "a..b", ".a", "a/.b", "a.lock", "a.lock/b", "a b", "a~b", "a^b", "a:b",
        "a?b", "a*b", "a[b", "a\\b", "@", "a@{b", "a.", "refs/heads/x", "f" * 40, "HEAD", "a\nb", "x" * 81,
        "a/-b", "ü",
    ],
)  # fmt: skip
def test_names_that_are_no_branches_and_tags(name: str) -> None:
    assert not hub_rules.is_ref_name(name)
