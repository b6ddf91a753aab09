"""The audit of a repo on a Hub: its card and configurations are read, and of its weights the header alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from card_cases import CASES, LORA_CONFIG, lora_tensors, write_adapter

from hubkit import record as records
from hubkit.audit import document, remote, subject
from hubkit.cli.main import run
from hubkit.errors import HubkitError, RepoMissing
from hubkit.hub import Hub

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

TOKEN = "hf_alice_may_write"


@pytest.fixture
def published(tmp_path: Path, alice_hub: RunningHub) -> tuple[Path, Hub]:
    """A repo with an adapter and a card that hubkit did not write."""
    directory = CASES["causal-lora"](tmp_path / "adapter")
    (directory / "README.md").write_text(
        "---\nlicense: mit\n---\n\n- **Rank:** 8\n\n[figures](figures/x.png)\n"
    )
    hub = Hub(alice_hub.endpoint, TOKEN)
    hub.create_repo("alice/audited", private=False)
    hub.api.upload_folder(repo_id="alice/audited", folder_path=str(directory))
    return directory, hub


def test_the_header_alone_is_fetched_and_tells_what_the_file_would(published: tuple[Path, Hub]) -> None:
    directory, hub = published
    with remote.fetched("alice/audited", hub) as files:
        there = subject.load_remote(files, None, None)
    here = subject.load(directory / "README.md")
    assert there.adapter
    assert here.adapter
    assert there.adapter.tensors == here.adapter.tensors
    assert there.adapter.weights_sha256() == here.adapter.weights_sha256()
    assert there.adapter.sha256() == here.adapter.sha256()
    assert there.record == here.record == records.read(directory)
    assert there.path == "alice/audited/README.md"
    assert there.repo_id == "alice/audited"
    assert there.files["adapter_model.safetensors"] == here.files["adapter_model.safetensors"]
    assert not there.weights_readable
    assert here.weights_readable
    assert not files.directory.exists()


def test_a_large_header_takes_a_second_request(tmp_path: Path, alice_hub: RunningHub) -> None:
    tensors = lora_tensors("model.layers", 300, ["self_attn.q_proj", "self_attn.v_proj"], 4, 2)
    directory = write_adapter(tmp_path / "adapter", LORA_CONFIG, tensors)
    (directory / "README.md").write_text("---\nlicense: mit\n---\n")
    hub = Hub(alice_hub.endpoint, TOKEN)
    hub.create_repo("alice/large", private=False)
    hub.api.upload_folder(repo_id="alice/large", folder_path=str(directory))
    with remote.fetched("alice/large", hub) as files:
        there = subject.load_remote(files, None, None)
    assert there.adapter
    assert len(there.adapter.tensors) == 1200


def test_the_command(
    published: tuple[Path, Hub],
    alice_hub: RunningHub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--endpoint", alice_hub.endpoint, "--token", TOKEN]
    assert run(["audit", "alice/audited", "--json", "--select", "HK2,HK5,HK6", *where]) == 1
    (card,) = json.loads(capsys.readouterr().out)["cards"]
    assert [(f["code"], f["line"]) for f in card["findings"]] == [("HK510", 7)]
    assert any("zeros in the weights" in reason for reason in card["not_checked"])


def test_a_repo_that_is_not_there_is_one_line(alice_hub: RunningHub) -> None:
    with (
        pytest.raises(RepoMissing, match="no model alice/none"),
        remote.fetched("alice/none", Hub(alice_hub.endpoint)),
    ):
        pass


def test_what_is_too_large_is_not_fetched(published: tuple[Path, Hub]) -> None:
    _, hub = published
    large = b'{"schema_version": 1' + b" " * remote.LARGEST + b"}"
    hub.api.upload_file(path_or_fileobj=large, path_in_repo="hubkit.json", repo_id="alice/audited")
    with remote.fetched("alice/audited", hub) as files:
        assert not (files.directory / "hubkit.json").exists()
        assert subject.load_remote(files, None, None).record is None
    large = b"---\nlicense: mit\n---\n".ljust(document.LARGEST + 1, b"x")
    hub.api.upload_file(path_or_fileobj=large, path_in_repo="README.md", repo_id="alice/audited")
    with (
        pytest.raises(HubkitError, match="1,000,001 bytes, which is too large for a card"),
        remote.fetched("alice/audited", hub),
    ):
        pass


def test_the_bases_configuration_is_fetched(published: tuple[Path, Hub]) -> None:
    directory, hub = published
    base_id = json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"]
    hub.create_repo("alice/base", private=False)
    config = b'{"architectures": ["LlamaForCausalLM"]}'
    hub.api.upload_file(path_or_fileobj=config, path_in_repo="config.json", repo_id="alice/base")
    changed = (directory / "adapter_config.json").read_text().replace(base_id, "alice/base").encode()
    hub.api.upload_file(path_or_fileobj=changed, path_in_repo="adapter_config.json", repo_id="alice/audited")
    with remote.fetched("alice/audited", hub) as files:
        there = subject.load_remote(files, None, None)
    assert there.base_config == {"architectures": ["LlamaForCausalLM"]}
