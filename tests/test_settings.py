"""Settings from a file and from flags: what is right, what is refused, and where the error points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from hubkit import methods, settings, tasks, yaml_reading, yaml_source
from hubkit.cli.main import run
from hubkit.errors import SettingsError
from hubkit.settings import Base, Data, Settings

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
LEAST = "base_model: org/base\ntask: causal-lm\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def load(file: Path, text: str, *overrides: str) -> tuple[Settings, Any, Any]:
    """The settings, and the parameters of the task and of the method."""
    file.write_text(text, encoding="utf-8")
    loaded, source = settings.load(file, overrides)
    return loaded, tasks.parse(loaded.task, source)[1], methods.parse(loaded.method, source)[1]


def refused(file: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file, text, *overrides)
    assert "\n" not in str(caught.value)
    return caught.value.message.replace(f"{file}:", "FILE:")


def said(function: Callable[..., Any], *arguments: Any) -> str:
    """The line that a refusal says; nothing where there is none. No other error passes."""
    try:
        function(*arguments)
    except SettingsError as error:
        return str(error)
    return ""


def test_the_least_file(file: Path) -> None:
    loaded, _, method = load(file, LEAST)
    assert loaded.base == Base(id="org/base")
    assert loaded.data is None
    assert method == methods.lora.Parameters()
    assert loaded.training.learning_rate == 3e-4


def test_shorthands_and_mappings_mean_the_same(file: Path) -> None:
    short, _, _ = load(file, LEAST + "dataset: org/text\nmethod: hira")
    long, _, _ = load(file, "base_model: {id: org/base}\ntask: causal-lm\ndataset: {id: org/text}")
    assert short.base == long.base
    assert short.data == long.data == Data(id="org/text")


def test_flag_beats_file_beats_default_falsy_values_too(file: Path) -> None:
    text = LEAST + (
        "training: {weight_decay: 0.1, warmup_steps: 5, seed: 7}\nmeasuring: {throughput: true}\n"
        "hub: {private: true, repo_id: me/x}\ncard: {language: [de], title: T}\n"
    )
    overrides = [
        "training.weight_decay=0", "training.warmup_steps=0", "measuring.throughput=false",
        "hub.private=false", "hub.repo_id=null", "card.language=[]", "card.title=",
    ]  # fmt: skip
    loaded, _, _ = load(file, text, *overrides)
    assert loaded.training.weight_decay == 0
    assert loaded.training.warmup_steps == 0
    assert loaded.training.seed == 7
    assert loaded.training.batch_size == 16
    assert loaded.measuring.throughput is False
    assert loaded.hub.private is False
    assert loaded.hub.repo_id is None
    assert loaded.card.language == []
    assert loaded.card.title is None


def test_a_language_may_be_norwegian(file: Path) -> None:
    loaded, _, _ = load(file, LEAST + "card:\n  language: [no]\n")
    assert loaded.card.language == ["no"]
    assert load(file, LEAST, "card.language=[no, nb]")[0].card.language == ["no", "nb"]


def test_3e_4_is_a_number(file: Path) -> None:
    assert load(file, LEAST + "training: {learning_rate: 3e-4}")[0].training.learning_rate == 3e-4
    assert load(file, LEAST, "training.learning_rate=1e-3")[0].training.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (LEAST, ["method.r=4"]),
        (LEAST + "method: lora", ["method.r=4"]),
        (LEAST + "method: {name: lora, r: 9}", ["method.r=4"]),
        (LEAST + "method: qlora", ["method=lora", "method.r=4"]),
        (LEAST + "method: qlora", ["method={name: lora, r: 4}"]),
    ],
)
def test_method_parameters_by_set(text: str, overrides: list[str], file: Path) -> None:
    assert load(file, text, *overrides)[2] == methods.lora.Parameters(r=4)


def test_task_parameters_by_set(file: Path) -> None:
    text = "base_model: org/base\ntask: masked-lm\n"
    assert load(file, text, "task.mask_probability=0.3")[1].mask_probability == 0.3


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("", [], "FILE:1: settings: the key 'base_model' is missing"),
        ("base_model: x", [], "FILE:1: settings: the key 'task' is missing"),
        (LEAST + "trainig:\n  epochs: 1", [], "FILE:3: unknown key 'trainig', did you mean 'training'?"),
        (LEAST + "training:\n  epoch: 1", [], "FILE:4: unknown key 'epoch', did you mean 'epochs'?"),
        (LEAST + "epochs: 1", [], "FILE:3: unknown key 'epochs', did you mean 'training.epochs'?"),
        (
            LEAST + "measuring:\n  speed:\n    bach-size: 3",
            [],
            "FILE:5: unknown key 'bach-size', did you mean 'batch_size'?",
        ),
        ("task: causal-lm\nbase_model:\n  pth: x", [], "FILE:3: unknown key 'pth', did you mean 'path'?"),
        (
            "task: causal-lm\nbase_model:\n  path: x",
            [],
            "FILE:2: base_model: the key 'id' is missing",
        ),
        (LEAST + "dataset:\n  fils: [a]", [], "FILE:4: unknown key 'fils', did you mean 'files'?"),
        (LEAST + "hub:\n  privat: true", [], "FILE:4: unknown key 'privat', did you mean 'private'?"),
        (
            LEAST + "training:\n  batch_size: 0",
            [],
            "FILE:4: training.batch_size: expected a whole number of at least 1 or auto, got 0",
        ),
        (
            LEAST + "training:\n  epochs: .inf",
            [],
            "FILE:4: training.epochs: expected a number above 0, got '.inf'",
        ),
        (LEAST + "training:\n  seed: 4294967296", [], "FILE:4: training.seed: expected a whole number"),
        (LEAST + "card:\n  language: no", [], "FILE:4: card.language: expected a list, got 'no'"),
        (LEAST + "method: lroa", [], "FILE:3: unknown method 'lroa', did you mean 'lora'?"),
        (LEAST + "method:\n  r: 4\n  name: lroa", [], "FILE:5: unknown method 'lroa', did you mean 'lora'?"),
        (LEAST + "method:\n  r: 4", [], "FILE:3: method needs a name, such as method: {name: ...}"),
        (LEAST + "method: [lora]", [], "FILE:3: method: expected text or keys with values, got ['lora']"),
        (
            LEAST + "method:\n  name: lora\n  rank: 4",
            [],
            "FILE:5: unknown key 'rank', did you mean 'r'?",
        ),
        (
            LEAST + "method:\n  name: lora\n  r: 1.5",
            [],
            "FILE:5: method.r: expected a whole number of at least 1, got 1.5",
        ),
        (LEAST + "method:\n  name: hira\n  alpha: 4", [], "FILE:5: unknown key 'alpha'"),
        (
            LEAST + "method:\n  name: sparse-lora\n  sparsity: 1",
            [],
            "FILE:5: method.sparsity: expected a number above 0 and below 1",
        ),
        ("base_model: x\ntask: causal-ml", [], "FILE:2: unknown task 'causal-ml', did you mean 'causal-lm'?"),
        (
            "base_model: x\ntask:\n  name: masked-lm\n  mask: 0.2",
            [],
            "FILE:4: unknown key 'mask', did you mean 'mask_probability'?",
        ),
        (LEAST, ["training.epoch=1"], "--set training.epoch: unknown key 'epoch', did you mean 'epochs'?"),
        (
            LEAST,
            ["trainin.epochs=1"],
            "--set trainin.epochs: unknown key 'trainin', did you mean 'training'?",
        ),
        (LEAST, ["method=lroa"], "--set method: unknown method 'lroa', did you mean 'lora'?"),
        (LEAST, ["method.name=lroa"], "--set method.name: unknown method 'lroa', did you mean 'lora'?"),
        (
            LEAST,
            ["training.scheduler=cosin"],
            "--set training.scheduler: expected one of constant, constant_with_warmup, cosine, linear,"
            " polynomial, got 'cosin'; did you mean 'cosine'?",
        ),
        (
            LEAST,
            ["training.batch_size=atuo"],
            "--set training.batch_size: expected a whole number of at least 1 or auto, got 'atuo';",
        ),
        (
            LEAST,
            ["method.init=pisa"],
            "--set method.init: expected default, gaussian, pissa, pissa_niter_N (N from 1 to 999) or olora,"
            " got 'pisa'; did you mean 'pissa'?",
        ),
        (
            LEAST,
            ["method={name: lora, rank_pattern: {q: 8, v: 0}}"],
            "--set method: method.rank_pattern: expected a whole number of at least 1, got 0",
        ),
        (
            LEAST,
            ["base_model={id: x, bits: 3}"],
            "--set base_model: base_model.bits: expected one of 4, 8, got 3",
        ),
        (
            LEAST,
            ["training.gradient_checkpointing=yes"],
            "--set training.gradient_checkpointing: expected true, false or auto, got 'yes'",
        ),
        (LEAST, ["method.r=x"], "--set method.r: expected a whole number of at least 1, got 'x'"),
        (LEAST, ["task.x=1"], "--set task.x: unknown key 'x'; known here:"),
        (LEAST, ["base_model=[]"], "--set base_model: expected text or keys with values, got []"),
    ],
)
def test_errors_name_the_place_and_the_nearest_key(
    text: str, overrides: list[str], message: str, file: Path
) -> None:
    assert refused(file, text, *overrides).startswith(message)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"base_model: \xe4\n")
    for name, words in (
        ("none.yaml", "No such file"),
        ("latin.yaml", "not UTF-8"),
        (".", "Is a directory"),
    ):
        with pytest.raises(SettingsError, match=words):
            settings.load(tmp_path / name)


@limits(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.one_of(st.text(), st.text().map(lambda rest: LEAST + rest)),
    overrides=st.lists(st.text(), max_size=2),
)
def test_any_text_is_settings_or_an_error(text: str, overrides: list[str], file: Path) -> None:
    file.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    assert "\n" not in said(settings.load, file, overrides)


KEYS = st.sampled_from(
    [
        "base_model",
        "task",
        "method",
        "dataset",
        "training",
        "measuring",
        "card",
        "hub",
        "adapter",
        "name",
        "id",
        "r",
    ]
)
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@limits(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(plain=st.dictionaries(KEYS, TREES, max_size=4))
def test_any_tree_is_settings_or_an_error(plain: dict[str, Any], file: Path) -> None:
    text = yaml.safe_dump({"base_model": "x", "task": "causal-lm", **plain})
    assert "\n" not in said(load, file, text)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return settings.json_schema({"task": tasks.json_schema(), "method": methods.json_schema()})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_load_and_agree_with_the_schema(path: Path, schema: dict[str, Any]) -> None:
    loaded, source = settings.load(path)
    tasks.parse(loaded.task, source)
    methods.parse(loaded.method, source)
    assert loaded.base.id
    _, plain = yaml_reading.parse(path.read_text(encoding="utf-8"), path)
    jsonschema.Draft202012Validator(schema).validate(plain)


@pytest.mark.parametrize(
    "text",
    [
        LEAST + "trainig: {}",
        LEAST + "method: {name: lora, rr: 4}",
        LEAST + "method: {name: hira, alpha: 4}",
        LEAST + "method: lroa",
        LEAST + "training: {epochs: 0}",
        "task: causal-lm",
    ],
)
def test_the_schema_refuses_what_loading_refuses(text: str, schema: dict[str, Any], file: Path) -> None:
    refused(file, text)
    assert not jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(text))


def test_the_schema_is_valid_and_every_key_has_a_type(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    def described(properties: dict[str, Any]) -> None:
        for name, part in properties.items():
            assert {"type", "anyOf", "enum", "const", "$ref", "allOf"} & part.keys(), name
            for option in part.get("anyOf", []):
                described(option.get("properties", {}))

    for definition in schema["$defs"].values():
        assert definition["additionalProperties"] is False, definition["title"]
        described(definition["properties"])
    for option in schema["$defs"]["Settings"]["properties"]["method"]["anyOf"][1:]:
        assert option["additionalProperties"] is False
        described(option["properties"])


@pytest.mark.parametrize("what", ["settings", "record"])
def test_the_published_schema_is_what_the_command_prints(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema", what]) == 0
    printed = capsys.readouterr().out
    published = ROOT / "docs" / f"{what}.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == json.loads(printed), (
        f"regenerate it: hubkit schema {what} > docs/{what}.schema.json"
    )


def test_parameters_of_every_method_and_task_have_defaults() -> None:
    for module in [*methods.METHODS.values(), *tasks.TASKS.values()]:
        assert msgspec.convert({}, module.Parameters) == module.Parameters()


def test_what_another_method_has_is_told_with_the_way_out() -> None:
    plain = {"base_model": "x", "task": "causal-lm", "method": {"name": "lora", "r": 4, "alpha": 16}}
    given, source = settings.from_plain(plain, ["method.name=hira"])
    with pytest.raises(
        SettingsError, match=r"unknown key 'alpha': HiRA has no alpha; known here: "
    ) as caught:
        yaml_source.chosen("method", methods.METHODS, given.method, source)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("--set 'method={name: hira, r: 4}'")
