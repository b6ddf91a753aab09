"""Every command with bad input: one clear line, exit code 2, and nothing half-written.

What needs torch runs in one process of its own, offline, so that no test waits for a network.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_adapter
import pytest
from conftest import ALICE

from hubkit.cli.main import run

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

Captured = pytest.CaptureFixture[str]
LEAST = "base_model: {id: org/base, path: base}\ntask: causal-lm\n"
WEIGHTS, CONFIG, RECORD = "adapter_model.safetensors", "adapter_config.json", "hubkit.json"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with settings and an adapter that can be broken."""
    monkeypatch.chdir(tmp_path)
    fake_adapter.write(tmp_path / "adapter", card=None)
    (tmp_path / "run.yaml").write_text(LEAST)
    return tmp_path


def snapshot(directory: Path) -> dict[str, str]:
    """Every path below a directory, with the digest of a file's bytes."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "directory"
        for path in sorted(directory.rglob("*"))
    }


def refused(arguments: list[str], place: Path, capsys: Captured) -> str:
    """The one line that a command line says when it is refused; it leaves everything as it was."""
    before = snapshot(place)
    code = run(arguments)
    out, err = capsys.readouterr()
    check_refusal(arguments, code, out, err)
    assert snapshot(place) == before
    return err


def check_refusal(arguments: list[str], code: int, out: str, err: str) -> None:
    assert (code, out) == (2, ""), (arguments, out, err)
    assert err.startswith("hubkit: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert "fault of hubkit" not in err
    assert len(err) < 500, err


def config_of(**changed: Any) -> bytes:
    plain = {"peft_type": "LORA", "base_model_name_or_path": "org/base", **changed}
    return json.dumps({key: value for key, value in plain.items() if value is not None}).encode()


def truncate(adapter: Path) -> None:
    path = adapter / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def only_a_pickle(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")


def writes(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda adapter: (adapter / name).write_bytes(content) and None  # type: ignore[func-returns-value]


def lacks(name: str) -> Callable[[Path], None]:
    return lambda adapter: (adapter / name).unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda adapter: adapter.rename("elsewhere") and None, "there is no directory adapter"),  # type: ignore[func-returns-value]
    "truncated": (truncate, "is not a whole safetensors file: it should have 2,"),
    "pickle": (only_a_pickle, "is a pickle, and loading a pickle can run any code"),
    "no weights": (lacks(WEIGHTS), "there is no adapter_model.safetensors in adapter"),
    "pointer": (writes(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"), "is a Git-LFS pointer"),
    "no config": (lacks(CONFIG), "there is no adapter_config.json in adapter"),
    "config is no JSON": (writes(CONFIG, b"{"), "adapter_config.json is not JSON"),
    "config is no mapping": (writes(CONFIG, b"[]"), "adapter_config.json names no peft_type"),
    "no peft_type": (writes(CONFIG, config_of(peft_type=None)), "adapter_config.json names no peft_type"),
    "record is garbage": (writes(RECORD, b"{"), "hubkit.json is not a record"),
    "record is newer": (writes(RECORD, b'{"schema_version": 9}'), "was written by a newer hubkit"),
}
WITH_ADAPTER = {
    "card": ["card"],
    "publish": ["publish"],
    "publish here": ["publish", "--local-hub", "hub"],
    "measure": ["measure"],
    "measure with settings": ["measure", "run.yaml"],
    "run-and-publish": ["run-and-publish", "run.yaml"],
    "dry run": ["run-and-publish", "run.yaml", "--dry-run"],
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("command", WITH_ADAPTER)
def test_broken_adapters(command: str, fault: str, place: Path, capsys: Captured) -> None:
    break_it, words = BROKEN[fault]
    if command.startswith("publish"):
        (place / "adapter" / "README.md").write_text(fake_adapter.CARD)
    break_it(place / "adapter")
    assert words in refused([*WITH_ADAPTER[command], "--adapter", "adapter"], place, capsys)


BAD_SETTINGS: dict[str, tuple[str | None, str]] = {
    "missing": (None, "cannot read settings run.yaml: No such file or directory"),
    "no YAML": ("a: [", "run.yaml:1: not YAML"),
    "no mapping": ("- a", "run.yaml:1: settings are a mapping"),
    "unknown key": (LEAST + "trainig: {}", "run.yaml:3: unknown key 'trainig', did you mean 'training'?"),
    "bad value": (
        LEAST + "training: {epochs: many}",
        "run.yaml:3: training.epochs: expected a number above 0, got 'many'",
    ),
    "unknown method": (LEAST + "method: lroa", "run.yaml:3: unknown method 'lroa', did you mean 'lora'?"),
    "unknown task": ("base_model: a/b\ntask: poetry", "run.yaml:2: unknown task 'poetry'"),
    "base is a path": ("base_model: ./base\ntask: causal-lm", "run.yaml:1: base_model"),
}


@pytest.mark.parametrize("fault", BAD_SETTINGS)
@pytest.mark.parametrize("command", ["run-and-publish", "train", "measure"])
def test_bad_settings(command: str, fault: str, place: Path, capsys: Captured) -> None:
    text, words = BAD_SETTINGS[fault]
    (place / "run.yaml").unlink()
    if text is not None:
        (place / "run.yaml").write_text(text)
    adapter = ["--adapter", "adapter"] if command == "measure" else []
    assert words in refused([command, "run.yaml", *adapter], place, capsys)


@pytest.mark.parametrize("command", ["run-and-publish", "train"])
def test_settings_that_name_nothing_to_train_on(command: str, place: Path, capsys: Captured) -> None:
    said = refused(
        [command, "run.yaml", *(["--local-hub", "hub"] if command != "train" else [])], place, capsys
    )
    assert "there is no dataset to train on. Next: add dataset: to the settings" in said


@pytest.mark.parametrize("command", ["run-and-publish", "train", "measure"])
def test_a_directory_in_place_of_settings(command: str, place: Path, capsys: Captured) -> None:
    adapter = ["--adapter", "adapter"] if command == "measure" else []
    assert "is a directory" in refused([command, "adapter", *adapter], place, capsys)


@pytest.mark.parametrize("command", ["run-and-publish", "train", "measure"])
@pytest.mark.parametrize("override", ["x", "training.epoch=1", "training.epochs=[", "method.r=0"])
def test_bad_overrides(command: str, override: str, place: Path, capsys: Captured) -> None:
    adapter = ["--adapter", "adapter"] if command == "measure" else []
    assert "hubkit: --set " in refused([command, "run.yaml", "--set", override, *adapter], place, capsys)


PUSHES = {
    "publish": ["publish", "--adapter", "adapter"],
    "run-and-publish": ["run-and-publish", "run.yaml", "--adapter", "adapter"],
    "run-and-publish trains": ["run-and-publish", "run.yaml"],
    "dry run": ["publish", "--adapter", "adapter", "--dry-run"],
}


def ready_to_push(command: str, place: Path) -> None:
    """Nothing is wrong with what would be pushed."""
    (place / "run.yaml").write_text(LEAST + "dataset: {files: [text.txt]}\n")
    if "run-and-publish" not in PUSHES[command]:
        (place / "adapter" / "README.md").write_text(fake_adapter.CARD)


@pytest.mark.parametrize("command", PUSHES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--token", "hf_wrong", "--repo-id", "alice/x"], "does not accept this token"),
        (["--token", "hf_wrong"], "no repo to publish to was named"),
        (["--token", ALICE, "--repo-id", "a/b/c"], "not a repo id"),
        (["--token", ALICE, "--repo-id", "alice/-x-"], "not a repo id"),
        (["--token", ALICE, "--repo-id", ""], "no repo to publish to was named"),
    ],
)
def test_wrong_tokens_and_repo_ids(
    command: str, options: list[str], words: str, place: Path, alice_hub: RunningHub, capsys: Captured
) -> None:
    ready_to_push(command, place)
    said = refused([*PUSHES[command], "--endpoint", alice_hub.endpoint, *options], place, capsys)
    assert words in said
    assert "hf_" not in said


@pytest.mark.parametrize("command", PUSHES)
def test_two_hubs(command: str, place: Path, capsys: Captured) -> None:
    ready_to_push(command, place)
    options = ["--endpoint", "http://127.0.0.1:9", "--local-hub", "hub"]
    assert "name two Hubs" in refused([*PUSHES[command], *options], place, capsys)


@pytest.mark.parametrize("command", ["publish", "run-and-publish"])
def test_a_local_hub_that_cannot_be(command: str, place: Path, capsys: Captured) -> None:
    ready_to_push(command, place)
    said = refused([*PUSHES[command], "--local-hub", "run.yaml"], place, capsys)
    assert "'run.yaml' is a file" in said
    assert "cannot use" in refused([*PUSHES[command], "--local-hub", "/proc/hub"], place, capsys)


def test_serve(place: Path, capsys: Captured) -> None:
    assert "'run.yaml' is a file" in refused(["serve", "run.yaml"], place, capsys)
    assert "cannot use run.yaml/hub" in refused(["serve", "run.yaml/hub", "--port", "0"], place, capsys)
    assert "is not in the range" in refused(["serve", "hub", "--port", "70000"], place, capsys)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "hub", "--port", str(port)]) == 2
        out, err = capsys.readouterr()
    check_refusal(["serve"], 2, out, err)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use. Next: choose another --port" in err


def test_schema(place: Path, capsys: Captured) -> None:
    assert "'setings' is not one of 'settings', 'record'" in refused(["schema", "setings"], place, capsys)
    assert "Choose from: settings, record" in refused(["schema"], place, capsys)


def full(*arguments: object, **options: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("options", [[], ["--license", "mit"], ["--quiet"]])
def test_a_full_disk_while_a_card_is_written(
    call: str, options: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    if options == ["--quiet"]:  # a card to adopt, whose diff is shown otherwise
        (place / "adapter" / "README.md").write_text("# Mine\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        said = refused(["card", "--adapter", "adapter", *options], place, capsys)
    assert "No space left on device" in said
    assert "Next: free some space" in said


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_under_the_local_hub(
    call: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    push = ["publish", "--adapter", "adapter", "--local-hub", "hub", "--repo-id", "local/x"]
    adapter = fake_adapter.write(place / "adapter")
    assert run(push) == 0
    fake_adapter.write(adapter, seed=1)
    capsys.readouterr()
    before = snapshot(adapter)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        code = run(push)
    out, err = capsys.readouterr()
    check_refusal(push, code, out, err)
    assert snapshot(adapter) == before
    assert run([*push, "--json"]) == 0  # with space again, the same command ends it
    assert json.loads(capsys.readouterr().out)["nothing_to_do"] is False


# What needs torch: each command line in turn, in one process that is offline.
SCRIPT = """
import json, os, resource, sys, tempfile
sys.path.insert(0, sys.argv[2])
from test_cli_bad_input import snapshot
os.environ["HF_HUB_OFFLINE"] = "1"  # which conftest takes out
from pathlib import Path
from hubkit.cli.main import run

def told(arguments, limit):
    before = snapshot(Path())
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        code = run([*arguments, "-q"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sys.stdout.flush(), sys.stderr.flush()
        os.dup2(kept[0], 1), os.dup2(kept[1], 2)
        out.seek(0), err.seek(0)
        after = snapshot(Path())
        changed = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
        return [code, out.read().decode(), err.read().decode(), changed]

print(json.dumps({name: told(*case) for name, case in json.loads(sys.argv[1]).items()}))
"""
BASE_MODEL = "base_model: {id: org/base, path: tiny}\n"
FILES = {
    "hub.yaml": "base_model: org/none\ntask: causal-lm\ndataset: {files: [text.txt]}\n",
    "base.yaml": "base_model: org/base\ntask: causal-lm\ndataset: {files: [text.txt]}\n",
    "path.yaml": "base_model: {id: org/base, path: nowhere}\ntask: causal-lm\ndataset: {files: [text.txt]}\n",
    "no-config.yaml": "base_model: {id: a/b, path: empty}\ntask: causal-lm\ndataset: {files: [text.txt]}\n",
    "no-file.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [none.txt]}\n",
    "empty.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [empty.txt]}\n",
    "short.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [short.txt]}\n",
    "latin.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [latin.txt]}\n",
    "column.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [rows.jsonl]}\n",
    "garbage.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [garbage.jsonl]}\n",
    "parquet.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [garbage.parquet]}\n",
    "dataset.yaml": BASE_MODEL + "task: causal-lm\ndataset: org/no-data\n",
    "target.yaml": BASE_MODEL
    + "task: causal-lm\nmethod: {name: lora, target_modules: [zzz]}\ndataset: {files: [text.txt]}\n"
    "training: {block_size: 16}\noutput_dir: out-target\n",
    "full.yaml": BASE_MODEL + "task: causal-lm\ndataset: {files: [text.txt], eval_fraction: 0.2}\n"
    "method: {name: lora, r: 64}\ntraining: {max_steps: 1, batch_size: 1, block_size: 16}\noutput_dir: out\n",
    "empty.txt": "\n\n  \n",
    "short.txt": "one\n",
    "rows.jsonl": '{"words": "a b c"}\n' * 3,
    "garbage.jsonl": "{\n",
    "garbage.parquet": "PAR1 not really",
}
TO_ALICE = ["--endpoint", "ENDPOINT", "--token", ALICE, "--repo-id", "alice/new"]
CASES: dict[str, tuple[list[str], int, str]] = {  # arguments, limit of a file in bytes, words
    "unknown base, train": (["train", "hub.yaml"], 0, "cannot load base model org/none"),
    "unknown base, run": (
        ["run-and-publish", "base.yaml", "--adapter", "adapter", *TO_ALICE], 0, "cannot load base model org",
    ),
    "unknown base, measure": (
        ["measure", "--adapter", "adapter", "--task", "causal-lm"], 0, "cannot load base model org/base",
    ),
    "no directory of the base": (["train", "path.yaml"], 0, "there is no directory nowhere for the base"),
    "directory without a base": (["train", "no-config.yaml"], 0, "cannot load base model empty (cited as a"),
    "no text file": (["train", "no-file.yaml"], 0, "there is no file none.txt"),
    "empty text": (["train", "empty.yaml"], 0, "too few documents with text"),
    "one document": (["train", "short.yaml"], 0, "too few documents with text"),
    "text that is no UTF-8": (["train", "latin.yaml"], 0, "latin.txt is not UTF-8 text"),
    "no such column": (["train", "column.yaml"], 0, "has no column 'text'; it has words"),
    "no JSON": (["train", "garbage.yaml"], 0, "cannot read garbage.jsonl: JSON parse error"),
    "no Parquet": (["train", "parquet.yaml"], 0, "cannot read garbage.parquet: Parquet magic bytes"),
    "unknown dataset": (["train", "dataset.yaml"], 0, "cannot load dataset org/no-data"),
    "empty text, run": (["run-and-publish", "empty.yaml", *TO_ALICE], 0, "too few documents with text"),
    "empty text, measure": (
        ["measure", "--adapter", "adapter", "--text", "empty.txt"], 0, "empty.txt has no text to evaluate on",
    ),
    "no module of that name": (["train", "target.yaml"], 0, "zzz"),
    "full disk, train": (["train", "full.yaml"], 20_000, "File too large"),
}  # fmt: skip


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, alice_hub: RunningHub
) -> dict[str, tuple[int, str, str, list[str]]]:
    place = tmp_path_factory.mktemp("bad-input")
    fake_adapter.write(place / "adapter", card=None)
    (place / "adapter" / CONFIG).write_bytes(config_of(task_type="CAUSAL_LM"))
    (place / "tiny").symlink_to(tiny_llama)
    (place / "empty").mkdir()
    for name, text in FILES.items():
        (place / name).write_text(text)
    (place / "latin.txt").write_bytes(b"caf\xe9\n" * 10)
    (place / "text.txt").write_text(
        "\n\n".join(f"Document {i} has some words of its own." for i in range(40))
    )
    cases = {
        name: ([alice_hub.endpoint if a == "ENDPOINT" else a for a in arguments], limit)
        for name, (arguments, limit, _) in CASES.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(cases), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, tuple[int, str, str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.mark.parametrize("case", CASES)
def test_what_needs_torch(case: str, told: dict[str, tuple[int, str, str, list[str]]]) -> None:
    arguments, _, words = CASES[case]
    code, out, err, changed = told[case]
    check_refusal(arguments, code, out, err)
    assert words in err
    unfinished = (
        ("out", "out/checkpoints") if case.startswith("full disk") else ()
    )  # looked at when it goes on
    assert [path for path in changed if not path.startswith(unfinished)] == []
    assert "out/adapter" not in changed
