"""`hubkit card` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from card_cases import BERT_CONFIG, CASES, LORA_CONFIG, lora_tensors, write_adapter

from hubkit import record as records
from hubkit.adapter import read
from hubkit.cli.main import run
from hubkit.errors import MissingExtra
from hubkit.record import Parameters


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "adapter")


def card(*arguments: object) -> int:
    return run(["card", "--adapter", *map(str, arguments)])


def test_it_writes_the_card_and_says_what_is_missing(
    adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = records.read(adapter)
    assert card(adapter) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Wrote {adapter / 'README.md'}" in said.err
    assert "contact" in said.err
    now = records.read(adapter)
    assert now.written is not None
    assert now.written.regions[:2] == ["title", "about"]
    assert msgspec.structs.replace(now, written=None) == known
    times = [(adapter / name).stat().st_mtime_ns for name in ("README.md", "hubkit.json")]
    assert card(adapter) == 0
    assert "is up to date" in capsys.readouterr().err
    assert times == [(adapter / name).stat().st_mtime_ns for name in ("README.md", "hubkit.json")]


def test_stdout_touches_nothing(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(adapter.iterdir())
    assert card(adapter, "--stdout", "--license", "mit") == 0
    said = capsys.readouterr()
    assert said.out.startswith("---\nbase_model:")
    assert "license: mit" in said.out
    assert said.err == ""
    assert sorted(adapter.iterdir()) == before
    assert records.read(adapter).author.license == "apache-2.0"


def test_what_options_say_is_remembered(adapter: Path) -> None:
    options = ["--license", "mit", "--language", "de", "--language", "no", "--title", "Mine", "--tag", "x"]
    assert card(adapter, *options, "--repo_id", "ada/new") == 0
    record = records.read(adapter)
    assert record.author.license == "mit"
    assert record.author.language == ["de", "no"]
    assert record.author.tags == ["x"]
    assert record.repo_id == "ada/new"
    assert record.measures.perplexity is not None
    assert card(adapter, "--check") == 0
    assert "# Mine\n" in (adapter / "README.md").read_text(encoding="utf-8")


def test_check_says_what_mends_it(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "--check") == 1
    assert f"is missing. Next: hubkit card --adapter {adapter}" in capsys.readouterr().err
    assert not (adapter / "README.md").exists()
    card(adapter)
    capsys.readouterr()
    assert card(adapter, "--check") == 0
    assert card(adapter, "--check", "--diff", "--title", "Other") == 1
    said = capsys.readouterr()
    assert "+# Other\n" in said.out
    assert "is not the card that hubkit would write" in said.err


def test_diff_writes_nothing(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "--diff") == 0
    assert "+# SmolLM2-135M-Instruct, LoRA adapter\n" in capsys.readouterr().out
    assert not (adapter / "README.md").exists()


def test_json(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    shown = json.loads(said.out)
    assert {"what": "contact", "how": "--contact TEXT, or card/contact.md"} in shown.pop("missing")
    assert shown == {"path": str(adapter / "README.md"), "outcome": "written", "stale": [], "notes": []}


def test_quiet(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(adapter, "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_stale_measures_are_named(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = adapter / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert card(adapter, "--license", "mit") == 0
    assert "configuration than these: parameters, size, perplexity" in capsys.readouterr().err
    assert records.read(adapter).measures.perplexity is not None  # for `hubkit measure` to judge


def foreign(tmp_path: Path) -> tuple[Path, Path]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(BERT_CONFIG))
    return CASES["foreign"](tmp_path / "adapter"), config


def test_a_foreign_adapter_with_its_bases_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter, config = foreign(tmp_path)
    assert card(adapter, "--base-config", config) == 0
    text = (adapter / "README.md").read_text(encoding="utf-8")
    assert "442,368 of 109,956,666 (0.40%)" in text
    assert "AutoModelForMaskedLM" in text
    assert "`key`, `query`, `value` (36 modules)" in text
    assert "accuracy" not in text.lower()
    assert records.read(adapter).measures.parameters is not None
    assert card(adapter, "--check") == 0  # from the record alone
    capsys.readouterr()


def test_a_learned_prompt_is_counted_from_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4, "token_dim": 8}
    adapter = write_adapter(
        tmp_path / "adapter",
        {**prompt, "base_model_name_or_path": "a/b"},
        {"prompt_embeddings": ("F32", [4, 8])},
    )
    config = tmp_path / "config.json"
    base = {"model_type": "gpt2", "vocab_size": 10, "n_embd": 8, "n_positions": 6, "n_layer": 1}
    config.write_text(json.dumps(base))
    assert card(adapter, "--base-config", config) == 0
    # tokens, positions; a layer: norms, 8 x 24, 8 x 8, 8 x 32, 32 x 8 with biases; the last norm; the prompt
    total = 80 + 48 + (32 + 216 + 72 + 288 + 264) + 16 + 32
    assert f"32 of {total:,} " in (adapter / "README.md").read_text(encoding="utf-8")
    config.write_text(json.dumps({**base, "n_embd": 16}))
    assert card(adapter, "--base-config", config) == 2
    assert "its vectors are not 16 wide" in capsys.readouterr().err
    config.write_text(json.dumps({"model_type": "none", "architectures": ["NoneForCausalLM"]}))
    assert card(adapter, "--base-config", config) == 0
    assert (
        "Total parameters left out: no formula for AutoModelForCausalLM of none." in capsys.readouterr().err
    )


def test_without_torch_the_total_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter, config = foreign(tmp_path)
    config.write_text(json.dumps({**BERT_CONFIG, "model_type": "no-formula"}))

    def refuse(*arguments: object) -> Parameters:
        raise MissingExtra("counting needs torch", "pip install hubkit[train]")

    monkeypatch.setattr("hubkit.models.counting.count_with_base", refuse)
    assert card(adapter, "--base-config", config) == 0
    said = capsys.readouterr().err
    assert (
        "Total parameters left out: no formula for AutoModelForMaskedLM of no-formula, and counting" in said
    )
    assert "needs torch (pip install hubkit[train])" in said
    assert "109," not in (adapter / "README.md").read_text(encoding="utf-8")
    assert card(adapter, "--check") == 0


def test_the_record_of_a_foreign_adapter_holds_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    adapter, _ = foreign(tmp_path)
    assert card(adapter) == 0
    assert "from the adapter's files" in (adapter / "README.md").read_text(encoding="utf-8")
    written = records.read(adapter).written
    assert written is not None
    assert records.read(adapter) == records.Record(written=written)
    assert card(adapter, "--check") == 0
    assert card(adapter, "--license", "mit", "--base-model", "google-bert/bert-base-uncased") == 0
    record = records.read(adapter)
    assert record.author.license == "mit"
    assert record.base_model is not None
    assert record.base_model.id == "google-bert/bert-base-uncased"
    assert card(adapter, "--check") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--license", "apache"], "did you mean 'apache-2.0'"),
        (["--language", "english"], "ISO 639"),
        (["--repo-id", "a/b/c"], "not the id of a repo"),
        (["--task", "poetry"], "is not one of"),
        (["--base-model", "./here"], "no model id of the Hub"),
        (["--base-config", "nowhere.json"], "cannot read nowhere.json"),
        (["--template", "nowhere.j2"], "cannot read template nowhere.j2"),
    ],
)
def test_bad_options_are_one_line(
    options: list[str], message: str, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = (adapter / "hubkit.json").read_bytes()
    assert card(adapter, *options) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (adapter / "README.md").exists()
    assert (adapter / "hubkit.json").read_bytes() == record


@pytest.mark.parametrize(
    ("option", "value", "same"),
    [
        ("--base-model", "google-bert/bert-base-uncased", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("--task", "masked-lm", "causal-lm"),
    ],
)
def test_numbers_stay_with_their_base_and_task(
    option: str, value: str, same: str, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (adapter / "hubkit.json").read_bytes()
    for keep in ("measures", "training"):
        known = records.read(adapter)
        part = {"measures": {"training": None}, "training": {"measures": records.Measures()}}[keep]
        records.write(adapter, msgspec.structs.replace(known, **part))
        for way in ([], ["--stdout"]):
            assert card(adapter, option, value, *way) == 2
            said = capsys.readouterr()
            assert f"not of {value}" in said.err
            assert said.err.count("\n") == 1
            assert said.out == ""
        (adapter / "hubkit.json").write_bytes(before)
    assert card(adapter, option, same) == 0


def test_a_base_that_was_named_wrong_can_be_named_anew(tmp_path: Path) -> None:
    adapter, _ = foreign(tmp_path)
    assert card(adapter, "--base-model", "org/wrong") == 0
    known = records.read(adapter)
    counted = Parameters(
        adapter_sha256=read(adapter).sha256(), adapter=1, total=9, counted_on="base configuration"
    )
    records.write(adapter, msgspec.structs.replace(known, measures=records.Measures(parameters=counted)))
    assert card(adapter, "--base-model", "org/right") == 0
    base = records.read(adapter).base_model
    assert base is not None
    assert base.id == "org/right"
    assert records.read(adapter).measures.parameters is None


def test_bad_adapters_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(adapter: Path) -> str:
        assert card(adapter) == 2
        assert not (adapter / "README.md").exists()
        return capsys.readouterr().err

    assert "there is no directory" in said(tmp_path / "none")
    adapter = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    (adapter / "hubkit.json").write_text("{")
    assert "is not a record" in said(adapter)
    (adapter / "hubkit.json").unlink()
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert "not a whole safetensors file" in said(adapter)
    (adapter / "adapter_config.json").write_text("{}")
    assert "names no peft_type" in said(adapter)


def test_a_full_disk_leaves_nothing_half_written(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno
    import os

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(path.name for path in adapter.iterdir())
    assert card(adapter) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(path.name for path in adapter.iterdir()) == before


def test_what_only_the_author_knows_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter, _ = foreign(tmp_path)
    assert card(adapter, "--base-model", "google-bert/bert-base-uncased", "--task", "masked-lm") == 0
    said = capsys.readouterr().err
    for option in ("--intended-use TEXT", "--out-of-scope TEXT", "--author NAME", "--contact TEXT"):
        assert option in said
    words = {
        "--summary": "A summary.",
        "--description": "A description.",
        "--intended-use": "For this.",
        "--out-of-scope": "Not for that.",
        "--limitations": "It knows one city.",
        "--contact": "<https://example.org/ask>",
        "--example": "Oslo is a {mask}.",
    }
    given = [part for pair in words.items() for part in pair]
    assert card(adapter, *given, "--author", "Ada Example", "--author", "Bo Example") == 0
    said = capsys.readouterr().err
    for option in ("--intended-use", "--out-of-scope", "--author", "--contact"):
        assert option not in said
    author = records.read(adapter).author
    assert author.authors == ["Ada Example", "Bo Example"]
    assert author.out_of_scope == "Not for that."
    text = (adapter / "README.md").read_text(encoding="utf-8")
    for word in words.values():
        assert word.replace("{mask}", "") in text or word.partition("{")[0] in text
    assert "Ada Example, Bo Example" in text
    assert card(adapter, "--check") == 0


def test_what_measures_is_a_command_that_works_as_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = CASES["causal-lora"](tmp_path / "my adapters" / "one")
    known = records.read(adapter)
    records.write(adapter, msgspec.structs.replace(known, measures=records.Measures()))
    assert card(adapter) == 0  # its base was a local one, and its text too
    said = capsys.readouterr().err
    measure = f"hubkit measure --adapter '{adapter}' --base-path DIR"
    assert f" {measure} --text FILE\n" in said
    assert f" {measure}\n" in said
    hub = CASES["causal-hira"](tmp_path / "hub")
    records.write(hub, msgspec.structs.replace(records.read(hub), measures=records.Measures()))
    assert card(hub) == 0
    assert f"  hubkit measure --adapter {hub}\n" in capsys.readouterr().err
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "base_model_name_or_path": "a/b"}
    prompt = write_adapter(tmp_path / "prompt", config, {"prompt_embeddings": ("F32", [8, 16])})
    assert card(prompt) == 0
    assert "hubkit measure" not in capsys.readouterr().err  # which would refuse it
