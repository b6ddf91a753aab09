"""What a push would change, and what must not be pushed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_adapter
import msgspec
import pytest
from card_cases import TRAINING
from conftest import ALICE

from hubkit import errors, localhub, record
from hubkit.hub import Hub
from hubkit.publishing import PushOptions, Target, open_target, resolve_repo_id
from hubkit.publishing.contents import collect, is_published
from hubkit.publishing.plan import full_repo_id, plan
from hubkit.publishing.planned import PlannedFile, title
from hubkit.publishing.show import show_plan, size

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def adapter_dir(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "adapter")


def test_a_new_repo(adapter_dir: Path, hub: Hub) -> None:
    made = plan(adapter_dir, "alice/plan-new", hub)
    assert (made.creates_repo, made.private, made.visibility, made.head) == (True, True, "private", None)
    assert {file.path: file.change for file in made.files} == {
        "README.md": "added",
        "adapter_config.json": "added",
        "adapter_model.safetensors": "added",
        "hubkit.json": "added",
    }
    assert made.title == "Add adapter and model card"
    assert made.new_bytes == sum((adapter_dir / file.path).stat().st_size for file in made.files)
    assert "+# A small adapter" in made.card_diff
    assert hub.repo("alice/plan-new") is None  # nothing was touched


def test_only_what_belongs_is_pushed(adapter_dir: Path, hub: Hub) -> None:
    made = plan(adapter_dir, "alice/plan-new", hub)
    assert made.left_out == ["checkpoint-10/", "optimizer.pt", "training_args.bin"]


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "vocab.txt", "LICENSE", "LICENSE.txt", "figures/loss.png", "chat_template.jinja"],
)
def test_belongs(name: str) -> None:
    assert is_published(name)


@pytest.mark.parametrize(
    "name",
    [
        "adapter_model.bin",
        "scheduler.pt",
        "rng_state.pth",
        "checkpoint-1/adapter_model.safetensors",
        ".env",
        "figures/notes.txt",
        "figures/deep/loss.png",
        "LICENSES/x.txt",
        "trainer_state.json",
        "model.safetensors",
    ],
)
def test_does_not_belong(name: str) -> None:
    assert not is_published(name)


@pytest.mark.parametrize(
    ("private", "watched", "asked", "said"),
    [
        (None, False, True, "private"),
        (None, True, None, "public by default"),
        (False, False, False, "public"),
        (True, True, True, "private"),
    ],
)
def test_visibility_of_a_new_repo(
    private: bool | None, watched: bool, asked: bool | None, said: str, adapter_dir: Path, hub: Hub
) -> None:
    made = plan(adapter_dir, "alice/plan-new", hub, private=private, watched=watched)
    assert (made.private, made.visibility) == (asked, said)


def test_a_plan_is_data(adapter_dir: Path, hub: Hub) -> None:
    import msgspec

    made = plan(adapter_dir, "alice/plan-new", hub)
    again = msgspec.json.decode(json.dumps(msgspec.to_builtins(made)), type=type(made))
    assert again == made


def test_a_plan_as_text(adapter_dir: Path, hub: Hub) -> None:
    text = show_plan(plan(adapter_dir, "alice/plan-new", hub))
    assert "would be created" in text
    assert "+ adapter_model.safetensors" in text
    assert "Not published: checkpoint-10/, optimizer.pt, training_args.bin" in text
    assert text.endswith("+# A small adapter")


def test_a_bare_name_gets_the_users(adapter_dir: Path, hub: Hub) -> None:
    assert plan(adapter_dir, "plan-bare", hub).repo_id == "alice/plan-bare"


@pytest.mark.parametrize(
    ("repo_id", "why"),
    [
        ("a/b/c", "more than one /"),
        ("alice/", "user or name is empty"),
        ("", "user or name is empty"),
        ("alice/two words", "' ' is no letter, digit"),
        ("alice/x--y", "may not have -- in it"),
        ("alice/x.git", "may not end with .git"),
        ("alice/" + "x" * 120, "has 120 characters, and 96 are allowed"),
        ("alice/-x", "may begin or end with - or ."),
        ("https://huggingface.co/alice/x/tree/main", "give --repo-id alice/x"),
    ],
)
def test_what_is_no_repo_id(repo_id: str, why: str, adapter_dir: Path, hub: Hub) -> None:
    with pytest.raises(errors.HubError, match="repo id") as caught:
        plan(adapter_dir, repo_id, hub)
    assert why in str(caught.value)


def test_no_card(tmp_path: Path, hub: Hub) -> None:
    directory = fake_adapter.write(tmp_path / "a", card=None)
    with pytest.raises(errors.CardError, match=r"no README\.md") as caught:
        plan(directory, "alice/x", hub)
    assert caught.value.hint == f"hubkit card --adapter {directory}"


def test_no_directory_and_a_pickle(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(errors.AdapterError, match="no directory"):
        plan(tmp_path / "none", "alice/x", hub)
    directory = fake_adapter.write(tmp_path / "a")
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")
    with pytest.raises(errors.AdapterError, match="pickle"):
        plan(directory, "alice/x", hub)


def test_stale_numbers(adapter_dir: Path, hub: Hub) -> None:
    fake_adapter.measure(adapter_dir, "0" * 64)
    with pytest.raises(errors.HubkitError, match="numbers of another adapter than this: size") as caught:
        plan(adapter_dir, "alice/x", hub)
    assert caught.value.hint == f"hubkit measure --adapter {adapter_dir}"


def test_the_training_of_another_adapter(adapter_dir: Path, hub: Hub) -> None:
    known = record.read(adapter_dir)
    training = msgspec.structs.replace(TRAINING, adapter_sha256="0" * 64)
    record.write(adapter_dir, msgspec.structs.replace(known, training=training))
    with pytest.raises(errors.HubkitError, match="numbers of another adapter than this: training"):
        plan(adapter_dir, "alice/x", hub)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("license: nope", '"license" must be'),
        ("language: no", '"language" is false'),
        ("base_model: /home/me/model", '"base_model" must be'),
        ("license: [", "not YAML"),
        ("- a list", "must be a mapping"),
    ],
)
def test_front_matter_that_the_hub_refuses(front: str, words: str, adapter_dir: Path, hub: Hub) -> None:
    (adapter_dir / "README.md").write_text(f"---\n{front}\n---\n# x\n")
    with pytest.raises(errors.CardError, match=words):
        plan(adapter_dir, "alice/x", hub)


def test_a_card_that_is_not_text(adapter_dir: Path, hub: Hub) -> None:
    (adapter_dir / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.CardError, match="UTF-8"):
        plan(adapter_dir, "alice/x", hub)


def test_a_card_without_front_matter_may_go(adapter_dir: Path, hub: Hub) -> None:
    (adapter_dir / "README.md").write_text("# plain\n\n---\n\nnot front matter\n\n---\n")
    assert plan(adapter_dir, "alice/x", hub).changes


def test_a_secret(adapter_dir: Path, hub: Hub) -> None:
    secret = "hf_" + "aB3d" * 9
    (adapter_dir / "tokenizer_config.json").write_text(f'{{\n"token": "{secret}"}}')
    with pytest.raises(
        errors.HubkitError, match=r"tokenizer_config\.json:2 \(Hugging Face token\)"
    ) as caught:
        plan(adapter_dir, "alice/x", hub)
    assert secret not in str(caught.value)


def test_links_out_of_the_directory(adapter_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (adapter_dir / "tokenizer.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(errors.AdapterError, match="leads out"):
        collect(adapter_dir)


def test_links_within_the_directory(adapter_dir: Path) -> None:
    (adapter_dir / "LICENSE").symlink_to("README.md")
    assert "LICENSE" in {file.path for file in collect(adapter_dir).files}


def test_pull_requests_need_a_repo_and_the_main_branch(adapter_dir: Path, hub: Hub) -> None:
    with pytest.raises(errors.RepoMissing, match="pull request"):
        plan(adapter_dir, "alice/plan-none", hub, create_pr=True)
    hub.create_repo("alice/plan-pr", True)
    with pytest.raises(errors.HubError, match="main only"):
        plan(adapter_dir, "alice/plan-pr", hub, create_pr=True, revision="dev")


def test_a_card_for_another_repo_is_noted(adapter_dir: Path, hub: Hub) -> None:
    record.write(adapter_dir, record.Record(repo_id="alice/other"))
    (note,) = plan(adapter_dir, "alice/x", hub).notes
    assert f"hubkit card --adapter {adapter_dir} --repo-id alice/x" in note


def test_the_visibility_of_a_repo_stays(adapter_dir: Path, hub: Hub) -> None:
    hub.create_repo("alice/plan-stays", True)
    made = plan(adapter_dir, "alice/plan-stays", hub, private=False)
    assert (made.private, made.visibility) == (None, "private")
    assert "stays private" in made.notes[0]


def test_only_on_the_hub(adapter_dir: Path, hub: Hub) -> None:
    hub.create_repo("alice/plan-only", True)
    made = plan(adapter_dir, "alice/plan-only", hub)
    assert made.remote_only == [".gitattributes"]
    assert made.head is not None


# Where to publish


def never(directory: Path) -> RunningHub:
    raise AssertionError(f"a local Hub was started in {directory}")


def test_a_token_means_the_hub() -> None:
    with open_target(PushOptions(token="hf_x"), never) as target:
        assert target.hub.endpoint == "https://huggingface.co"
        assert target.line is None


def test_a_token_of_the_environment_means_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with open_target(PushOptions(), never) as target:
        assert target.local_hub is None


@pytest.mark.parametrize("by", ["option", "environment"])
def test_an_endpoint_means_that_one(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PushOptions(endpoint="http://127.0.0.1:9/" if by == "option" else None)
    if by == "environment":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9/")
    with open_target(replace(options, dry_run=True), never) as target:
        assert target.hub.endpoint == "http://127.0.0.1:9"
    with pytest.raises(errors.NotAuthorised, match="needs a token, and none"), open_target(options, never):
        pass


def test_the_hub_itself_as_endpoint_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co/")
    with open_target(PushOptions(dry_run=True), localhub.start) as target:
        assert target.local_hub == Path("local-hub")


def test_no_token_means_a_local_hub_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_target(PushOptions(), localhub.start) as target:
        assert target.line == "No Hub token found; publishing to the local Hub in ./local-hub instead."
        assert resolve_repo_id(PushOptions(), target, "my run (2)!") == "local/my-run-2"
        assert target.address("local/x") == f"http://127.0.0.1:{localhub.DEFAULT_PORT}/local/x"
    assert (tmp_path / "local-hub").is_dir()


def test_a_dry_run_leaves_no_local_hub(tmp_path: Path) -> None:
    options = PushOptions(local_hub=tmp_path / "hub", dry_run=True)
    with open_target(options, localhub.start) as target:
        assert target.line is None
        assert target.hub.user() == "local"
    assert list(tmp_path.iterdir()) == []


def test_a_local_hub_that_is_served_keeps_its_address(tmp_path: Path, alice_hub: RunningHub) -> None:
    def running(directory: Path) -> RunningHub:
        return type(alice_hub)(alice_hub.endpoint, alice_hub.token)

    with open_target(PushOptions(local_hub=tmp_path), running) as target:
        assert target.address("local/x") == f"{alice_hub.endpoint}/local/x"
        assert target.serve_command is None


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        (".venv/bin/hubkit", ".venv/bin/hubkit"),
        ("{here}/.venv/bin/hubkit", ".venv/bin/hubkit"),
        ("{here}/hubkit", "./hubkit"),
        ("/opt/my tools/hubkit", "'/opt/my tools/hubkit'"),
        ("/opt/hubkit/__main__.py", ".venv/bin/python -m hubkit"),
        ("/opt/bin/pytest", "hubkit"),
        ("/opt/pytest/__main__.py", "hubkit"),
    ],
)
def test_the_program_as_the_user_can_run_it(
    argument: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [argument.format(here=tmp_path)])
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/.venv/bin/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    hub = Target(hub=Hub("http://127.0.0.1:9"), local_hub=Path("my hub"), stays=False)
    assert hub.serve_command == f"{command} serve 'my hub'"
    (tmp_path / "hubkit").touch(0o755)
    assert hub.serve_command == "hubkit serve 'my hub'"


def test_two_hubs_at_once(tmp_path: Path) -> None:
    options = PushOptions(local_hub=tmp_path, endpoint="http://127.0.0.1:9")
    with pytest.raises(errors.HubError, match="two Hubs"), open_target(options, never):
        pass


def test_which_repo_id(hub: Hub) -> None:
    target = Target(hub=hub)
    assert resolve_repo_id(PushOptions(repo_id="x"), target, "name") == "alice/x"
    assert resolve_repo_id(PushOptions(repo_id="bob/x"), target, "name", "alice/y") == "bob/x"
    assert resolve_repo_id(PushOptions(), target, "name", "alice/y") == "alice/y"
    with pytest.raises(errors.HubError, match="no repo to publish to"):
        resolve_repo_id(PushOptions(), target, "name", "local/y")  # that was the local Hub's
    local = Target(hub=hub, local_hub=Path("x"), local_user="local")
    assert resolve_repo_id(PushOptions(), local, "name", "local/y") == "local/y"
    assert resolve_repo_id(PushOptions(), local, "name", "alice/y") == "local/name"
    assert resolve_repo_id(PushOptions(), local, "...") == "local/adapter"


@pytest.mark.parametrize("local_hub", [None, Path("hub")])
@pytest.mark.parametrize(("repo_id", "words"), [("alice/x", "alice/x"), ("a/b/c", "not a repo id")])
def test_an_id_that_a_local_hub_refuses_is_found_before_it_is_started(
    repo_id: str, words: str, local_hub: Path | None
) -> None:
    options = PushOptions(repo_id=repo_id, local_hub=local_hub)
    with pytest.raises(errors.HubError, match=words), open_target(options, never):
        pass


def test_what_would_be_refused_is_found_early(hub: Hub, alice_hub: RunningHub) -> None:
    Target(hub=hub).check("alice/plan-early", PushOptions())
    with pytest.raises(errors.NotAuthorised):
        Target(hub=hub).check("bob/plan-early", PushOptions())
    Target(hub=hub).check("bob/plan-early", PushOptions(dry_run=True))
    with pytest.raises(errors.RepoMissing):
        Target(hub=hub).check("alice/plan-early", PushOptions(create_pr=True))


def test_full_repo_id_asks_for_the_user_only_if_it_must() -> None:
    def unknown() -> str:
        raise AssertionError

    assert full_repo_id("a/b", unknown) == "a/b"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1779464, "1.8 MB"), (98362432, "98.4 MB"), (2**41, "2199.0 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"adapter_model.safetensors": "added", "README.md": "added"}, "Add adapter and model card"),
        ({"adapter_model.safetensors": "changed"}, "Update adapter and model card"),
        ({"README.md": "changed", "adapter_config.json": "changed"}, "Update model card"),
        ({"adapter_config.json": "changed", "hubkit.json": "changed"}, "Update adapter_config.json"),
        ({"hubkit.json": "changed", "README.md": "unchanged"}, "Update hubkit.json"),
        ({"extra/ok.csv": "added", "extra/more.csv": "added"}, "Add ok.csv, more.csv"),
        ({"a.csv": "added", "b.csv": "changed"}, "Update a.csv, b.csv"),
        ({f"extra/{'long' * 5}-{number}.csv": "added" for number in range(3)}, "Add 3 files"),
        ({"old.csv": "removed"}, "Remove files that are no longer needed"),
    ],
)
def test_the_title_tells_what_changes(changes: dict[str, Any], told: str) -> None:
    assert title([PlannedFile(path=path, size=1, change=change) for path, change in changes.items()]) == told
