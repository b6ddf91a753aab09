"""An adapter from the Hub, at a revision: what is fetched, what never is, and what is said of bad names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from card_cases import LORA_CONFIG, lora_tensors, write_adapter
from test_found import STATE

from hubkit import adapter, found, from_hub, record, runs
from hubkit.cli import measure
from hubkit.cli.main import run
from hubkit.from_hub import Named
from hubkit.hub import Hub
from hubkit.settings import HubAdapter, from_plain

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

TOKEN = "hf_alice_may_write"
PICKLES = ("training_args.bin", "adapter_model.bin", "optimizer.pt", "rng_state.pth", "scheduler.pt")
REPO = "alice/somebodys"


@pytest.fixture(scope="module")
def hub(alice_hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """A Hub with an adapter that was pushed by a Trainer, twice; the first time at the tag v1."""
    hub = Hub(alice_hub.endpoint, TOKEN)
    hub.create_repo(REPO, private=False)
    for rank in (4, 8):
        tensors = lora_tensors("model.layers", 1, ["q_proj"], 16, rank)
        directory = tmp_path_factory.mktemp("theirs") / "adapter"
        write_adapter(directory, {**LORA_CONFIG, "r": rank}, tensors)
        (directory / found.NAME).write_text(json.dumps(STATE))
        (directory / "README.md").write_text("---\nlicense: mit\n---\n\n# Theirs\n")
        for name in PICKLES:
            (directory / name).write_bytes(b"\x80\x04never to be read")
        (directory / "checkpoint-5").mkdir()
        (directory / "checkpoint-5" / adapter.CONFIG_NAME).write_text("{}")
        hub.api.upload_folder(repo_id=REPO, folder_path=str(directory))
        if rank == 4:
            hub.api.create_tag(REPO, tag="v1")
    hub.create_repo("alice/base", private=False)
    hub.api.upload_file(repo_id="alice/base", path_or_fileobj=b"{}", path_in_repo="config.json")
    hub.create_repo("alice/pickled", private=False)
    for name in (adapter.CONFIG_NAME, adapter.PICKLE_NAME):
        hub.api.upload_file(repo_id="alice/pickled", path_or_fileobj=b"{}", path_in_repo=name)
    return hub


@pytest.fixture
def at_work(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alice/x", Named("alice/x")),
        ("alice/x@v1", Named("alice/x", "v1")),
        ("alice/x@refs/pr/1", Named("alice/x", "refs/pr/1")),
        ("alice/x@", None),
        ("x", None),
        ("runs/x/adapter", None),
        ("/tmp/x", None),
        ("./x", None),
        ("../x/y", None),
    ],
)
def test_what_names_an_adapter_of_the_hub(text: str, wanted: Named | None) -> None:
    assert from_hub.named(text) == wanted


def test_a_directory_is_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alice" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert from_hub.named("alice/x") is None


def test_the_card_of_an_adapter_of_the_hub(at_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", "--adapter", REPO, "-y", "--no-figures"]) == 0
    directory = at_work / "runs" / REPO
    said = capsys.readouterr().err
    assert f"fetching {REPO} at " in said
    assert "into runs/alice/somebodys" in said
    assert {path.name for path in directory.iterdir()} == {
        adapter.CONFIG_NAME, adapter.WEIGHTS_NAME, found.NAME, record.RECORD_NAME, "README.md",
        "README.md.orig", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    known = record.read(directory)
    assert known.origin is not None
    assert (known.origin.repo_id, len(known.origin.commit)) == (REPO, 40)
    assert known.found_history is not None
    assert known.found_history.steps == 40
    card = (directory / "README.md").read_text()
    assert "not measured by hubkit" in card
    assert REPO in card
    assert run(["card", "--adapter", REPO, "--check", "-q"]) == 0  # fetched no second time
    assert sorted(path.name for path in (at_work / "runs" / "alice").iterdir()) == ["somebodys"]


def test_a_revision_goes_where_it_is_told_to(
    at_work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Path] = []
    monkeypatch.setattr(measure, "_measured", lambda directory, *_: measured.append(directory))
    assert run(["measure", "--adapter", f"{REPO}@v1", "--into", "old", "-q"]) == 0
    assert measured == [Path("old")]
    assert adapter.read(at_work / "old").config["r"] == 4
    assert run(["measure", "--adapter", REPO, "--into", "old"]) == 2
    assert "old holds alice/somebodys at " in capsys.readouterr().err
    origin = record.read(at_work / "old").origin
    assert origin is not None
    commit = f"{REPO}@{origin.commit}"
    assert run(["card", "--adapter", commit, "--into", "old", "--stdout", "-q", "--no-figures"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alice/none"], "there is no model alice/none at "),
        ([f"{REPO}@v9"], f"{REPO} has no revision v9"),
        (["alice/base"], "alice/base at "),
        (["alice/pickled"], "in a pickle alone (adapter_model.bin), which can run any code"),
        ([REPO, "--into", "full"], "full holds something else"),
        ([REPO, "--into", "full/a-file/x"], "cannot make full/a-file/x"),
        ([".", "--into", "x"], "--into is for an adapter of the Hub, and . is none"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, at_work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (at_work / "full").mkdir()
    (at_work / "full" / "a-file").touch()
    assert run(["card", "--adapter", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Next: " in said
    assert "Traceback" not in said
    assert {path.name for path in at_work.iterdir()} <= {"full", "runs"}
    assert not list(at_work.glob("**/.*"))


@pytest.mark.parametrize("name", [record.RECORD_NAME, adapter.CONFIG_NAME])
def test_files_that_cannot_be_read_are_of_the_repo_and_nothing_is_kept(
    name: str, hub: Hub, at_work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = f"alice/broken-{name.partition('.')[0].replace('_', '-')}"
    hub.create_repo(repo, private=False)
    write_adapter(at_work / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 16, 4))
    (at_work / "a" / name).write_text("[]")
    hub.api.upload_folder(repo_id=repo, folder_path=str(at_work / "a"))
    assert run(["card", "--adapter", repo]) == 2
    said = capsys.readouterr().err
    assert f"hubkit: {repo} at " in said
    assert f": {name} " in said
    assert "nothing was kept" in said
    assert str(at_work) not in said
    assert not list((at_work / "runs").glob("**/*broken*"))


def test_a_disk_that_is_full_is_one_line(
    at_work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record, "write", full)
    assert run(["card", "--adapter", REPO]) == 2
    assert "cannot write runs/alice/somebodys: No space left on device" in capsys.readouterr().err
    assert list((at_work / "runs" / "alice").iterdir()) == []


def test_without_a_network_it_says_so(at_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("hubkit.hub_client.Patience.rest", lambda *_: None)
    with pytest.raises(
        from_hub.HubUnreachable, match=r"there is no directory alice/x; on the Hub: .*127\.0\.0\.1"
    ):
        from_hub.at_hand(Named("alice/x"), None, print)


@pytest.mark.parametrize(
    "given", [f"{REPO}@v1", {"id": REPO, "revision": "v1"}, {"id": REPO, "path": "here"}]
)
def test_settings_name_it_too(given: object, at_work: Path) -> None:
    plain = {"base_model": "a/b", "task": "causal-lm", "adapter": given, "output_dir": "out"}
    told = runs.prepare(*from_plain(plain))
    loaded = runs.loaded(told, lambda line: None)
    place = "here" if isinstance(given, dict) and "path" in given else "out/adapter"
    assert loaded.settings.adapter == place
    assert loaded.adapter_dir == Path(place)
    if isinstance(given, dict):
        assert told.adapter_dir == Path(place)
    assert adapter.read(at_work / place).config["r"] == (8 if place == "here" else 4)
    assert runs.loaded(loaded, print) == loaded


def test_settings_refuse_what_is_no_id() -> None:
    with pytest.raises(ValueError, match="is no id of the Hub; write it as user/name"):
        HubAdapter(id="../x")
