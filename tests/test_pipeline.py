"""run-and-publish, whole: a tiny model, a real Hub over HTTP."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
from huggingface_hub import HfApi

from hubkit import localhub, pipeline, record
from hubkit.card import regions
from hubkit.errors import CardError, HubkitError
from hubkit.interrupts import Signalled
from hubkit.publishing import Plan, Published, PushOptions


def publish(run: Any, hub: Path, **options: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    outcome = pipeline.run_and_publish(
        run, PushOptions(local_hub=hub, **options), localhub.start, said.append
    )
    return outcome, said


def commits(hub: Path, repo_id: str) -> list[Any]:
    with localhub.start(hub) as running:
        return list(HfApi(endpoint=running.endpoint, token=running.token).list_repo_commits(repo_id))


@pytest.mark.parametrize("task", ["causal-lm", pytest.param("masked-lm", marks=pytest.mark.real)])
def test_from_settings_to_a_page_and_again(task: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    base = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    hub = tmp_path / "hub"
    settings = {"output_dir": str(tmp_path / "my run"), "card": {"license": "mit"}}
    run = tiny.run(task, base, tmp_path, **settings)

    first, said = publish(run, hub)
    assert isinstance(first, Published)
    assert first.repo_id == "local/my-run"
    assert not first.nothing_to_do
    assert said[0].startswith("training LoRA")
    with localhub.start(hub) as running:
        api = HfApi(endpoint=running.endpoint, token=running.token)
        there = set(api.list_repo_files("local/my-run"))
        assert there >= {"README.md", "adapter_config.json", "adapter_model.safetensors", "hubkit.json"}
        card = Path(api.hf_hub_download("local/my-run", "README.md", local_dir=tmp_path / "down")).read_text()
        told = json.loads(
            Path(api.hf_hub_download("local/my-run", "hubkit.json", local_dir=tmp_path / "down")).read_text()
        )
    assert told["repo_id"] == "local/my-run"
    measured = record.read(run.adapter_dir).measures.perplexity
    assert measured is not None
    shown = re.search(r"^ +value: ([\d.]+)$", card, re.MULTILINE)
    assert shown is not None
    assert float(shown.group(1)) == pytest.approx(measured.value, rel=1e-3)
    figures = re.findall(r"\]\((figures/[^)]+)\)", card)
    assert figures
    assert set(figures) == {path for path in there if path.startswith("figures/")}
    assert "local/my-run" in card
    assert str(tmp_path) not in card
    before = commits(hub, "local/my-run")

    second, said = publish(run, hub)
    assert [line.partition(":")[0] for line in said[:2]] == [
        "trained already with these settings",
        "measured already on these weights, with these settings",
    ]
    assert isinstance(second, Published)
    assert second.nothing_to_do
    assert second.commit == first.commit
    assert [c.commit_id for c in commits(hub, "local/my-run")] == [c.commit_id for c in before]

    other = tiny.run(task, base, tmp_path, **settings, measuring__max_eval_documents=3)
    third, said = publish(other, hub)
    assert isinstance(third, Published)
    assert not third.nothing_to_do
    assert said[0].startswith("trained already")
    assert any(line.startswith("measuring perplexity") for line in said)
    assert len(commits(hub, "local/my-run")) == len(before) + 1


@pytest.mark.real
def test_an_adapter_that_is_given_is_published_and_not_trained(tiny_llama: Path, tmp_path: Path) -> None:
    from hubkit import stages

    directory = stages.train(tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1), tiny.quiet)
    (directory / record.RECORD_NAME).unlink()
    run = tiny.run("causal-lm", tiny_llama, tmp_path, adapter=str(directory), output_dir=str(tmp_path / "no"))
    outcome, said = publish(run, tmp_path / "hub")
    assert isinstance(outcome, Published)
    assert outcome.repo_id == "local/adapter"
    assert not any("train" in line for line in said)
    assert not (tmp_path / "no").exists()


def test_a_dry_run_leaves_nothing_behind(tiny_llama: Path, tmp_path: Path) -> None:
    run, hub = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1), tmp_path / "hub"
    before = sorted(tmp_path.rglob("*"))
    outcome, said = publish(run, hub, dry_run=True)
    assert isinstance(outcome, pipeline.Forecast)
    assert outcome.repo_id == "local/run"
    assert (outcome.creates_repo, outcome.visibility) == (True, "public by default")
    assert len(outcome.todo) == 2
    assert (said, sorted(tmp_path.rglob("*"))) == ([], before)

    publish(run, hub)
    files = {path: path.stat().st_mtime_ns for path in run.output_dir.rglob("*")}
    done = commits(hub, "local/run")
    outcome, _ = publish(run, hub, dry_run=True)
    assert isinstance(outcome, Plan)
    assert outcome.nothing_to_do
    other = tiny.run(
        "causal-lm", tiny_llama, tmp_path, training__max_steps=1, card={"description": "Another."}
    )
    outcome, _ = publish(other, hub, dry_run=True)  # the plan holds the card that would be written
    assert isinstance(outcome, Plan)
    assert "\n+Another." in outcome.card_diff
    assert {path: path.stat().st_mtime_ns for path in run.output_dir.rglob("*")} == files
    assert [c.commit_id for c in commits(hub, "local/run")] == [c.commit_id for c in done]


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ("---\n- a list\n---\n# Mine\n", "line 2: the front matter is no mapping"),
        ("# Mine\n\n<!-- hubkit:begin usage -->\n", 'line 3: the region "usage" has no end'),
        ("# Mine\n" + regions.region("usage", "Mine.\n").replace("Mine.", "Edited."), "edited by hand"),
    ],
)
def test_a_card_that_cannot_be_written_is_found_before_the_work(
    card: str, why: str, tiny_llama: Path, tmp_path: Path
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    run.adapter_dir.mkdir(parents=True)
    (run.adapter_dir / "README.md").write_text(card)
    with pytest.raises(CardError, match=why):
        publish(run, tmp_path / "hub")
    assert [path.name for path in run.adapter_dir.iterdir()] == ["README.md"]


def test_a_push_that_would_be_refused_is_found_before_the_work(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path)
    with pytest.raises(HubkitError):
        publish(run, tmp_path / "hub", repo_id="somebody/else")
    assert not run.output_dir.exists()


def test_the_local_hub_in_place_of_the_hub_is_said_before_the_work_and_once(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1), []
    monkeypatch.chdir(tmp_path)
    pipeline.run_and_publish(run, PushOptions(), localhub.start, said.append)
    assert said[0].startswith("No Hub token found; publishing to the local Hub in ./local-hub instead.")
    assert said[1].startswith("training LoRA")
    assert not any("No Hub token" in line for line in said[1:])


def test_an_interrupted_run_goes_on_and_publishes(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_fit import stop_at

    from hubkit.errors import Interrupted

    run, hub = tiny.run("causal-lm", tiny_llama, tmp_path), tmp_path / "hub"
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(Interrupted):
            publish(run, hub)
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "publish_to", interrupted)
        options = PushOptions(local_hub=hub, private=True)
        with pytest.raises(Interrupted) as caught:
            pipeline.run_and_publish(run, options, localhub.start, said.append)
    assert said[0].startswith("going on from")
    assert caught.value.exit_code == 143
    reached = f"adapter and measures are in {run.adapter_dir}"
    assert caught.value.message == f"interrupted; nothing was published; {reached}"
    command = f"hubkit publish --adapter {run.adapter_dir} --repo-id local/run --local-hub {hub} --private"
    assert caught.value.hint == command
    outcome, said = publish(run, hub)
    assert said[0].startswith("trained already")
    assert isinstance(outcome, Published)


def interrupted(*_: object) -> None:
    raise Signalled(signal.SIGTERM)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"template": "no-such-template.j2"}, "there is no template"),
        ({"license": "apache"}, "license"),
        ({"license": "other"}, "license_name"),
    ],
)
def test_a_card_that_cannot_be_made_is_found_before_training(
    tiny_llama: Path, tmp_path: Path, card: dict[str, str], message: str
) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, card=card)
    options = PushOptions(local_hub=tmp_path / "hub")
    with pytest.raises(CardError, match=message):
        pipeline.run_and_publish(run, options, localhub.start, tiny.quiet)
    assert not run.output_dir.exists()
    assert not (tmp_path / "hub").exists()


@pytest.mark.real
def test_a_dry_run_of_what_is_done_writes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    options = PushOptions(local_hub=tmp_path / "hub")
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1)
    pipeline.run_and_publish(run, options, localhub.start, tiny.quiet)
    before = contents(run.adapter_dir)
    other = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1, dataset={"note": "New."})
    dry = PushOptions(local_hub=tmp_path / "hub", dry_run=True)
    assert isinstance(pipeline.run_and_publish(other, dry, localhub.start, tiny.quiet), Plan)
    assert contents(run.adapter_dir) == before
    assert any(path.parent.name == "figures" for path in before)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
