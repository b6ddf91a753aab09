"""A directory under the id of a model: huggingface_hub downloads it as from any Hub, and cannot change it."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hubkit import localhub

COMMIT = "5d" * 20
FILES = {
    "config.json": b'{"model_type": "x"}',
    "model.safetensors": bytes(range(256)) * 40,
    "sub/a.txt": b"a",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfApi]:
    root = tmp_path_factory.mktemp("mounts")
    for path, content in FILES.items():
        (root / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "model" / path).write_bytes(content)
    (root / "secret.txt").write_text("not in the directory")
    (root / "model" / ".hidden").write_text("hidden")
    (root / "cache").mkdir()  # as huggingface_hub's cache: links to files elsewhere
    (root / "cache" / "config.json").symlink_to(root / "model" / "config.json")
    mounts = {"bare-name": (root / "cache", COMMIT), "some.org/a_model-1": (root / "model", COMMIT)}
    with localhub.start(root / "hub", mounts=mounts) as hub:
        yield HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_it_is_downloaded_whole(api: HfApi, revision: str | None, tmp_path: Path) -> None:
    got = Path(
        snapshot_download(
            "some.org/a_model-1", revision=revision, endpoint=api.endpoint, token=False, cache_dir=tmp_path
        )
    )
    assert {p.relative_to(got).as_posix(): p.read_bytes() for p in got.rglob("*") if p.is_file()} == FILES
    assert got.name == COMMIT


def test_a_name_without_a_user_and_a_directory_of_links(api: HfApi, tmp_path: Path) -> None:
    got = api.hf_hub_download("bare-name", "config.json", cache_dir=tmp_path)
    assert Path(got).read_bytes() == FILES["config.json"]
    assert [file.path for file in api.list_repo_tree("bare-name")] == ["config.json"]


def test_what_it_says_of_its_files(api: HfApi) -> None:
    url = hf_hub_url("some.org/a_model-1", "model.safetensors", endpoint=api.endpoint)
    told = get_hf_file_metadata(url)
    assert (told.commit_hash, told.size) == (COMMIT, len(FILES["model.safetensors"]))
    assert told.etag
    assert told.xet_file_data is None
    part = urllib.request.Request(url, headers={"Range": "bytes=250-259"})
    with urllib.request.urlopen(part) as answer:
        assert (answer.status, answer.read()) == (206, FILES["model.safetensors"][250:260])
    info = api.model_info("some.org/a_model-1", revision=COMMIT)
    assert info.sha == COMMIT
    assert {file.rfilename for file in info.siblings or []} == set(FILES)
    tree = api.list_repo_tree("some.org/a_model-1", recursive=True)
    assert {entry.path for entry in tree} == set(FILES)
    assert [e.path for e in api.list_repo_tree("some.org/a_model-1", "sub")] == ["sub/a.txt"]
    assert [e.path for e in api.get_paths_info("some.org/a_model-1", ["sub/a.txt", "no"])] == ["sub/a.txt"]


def test_the_mark_of_a_file_changes_with_it(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "config.json"
    file.write_bytes(b"one")
    with localhub.start(tmp_path / "hub", mounts={"a/b": (tmp_path / "model", COMMIT)}) as hub:
        url = hf_hub_url("a/b", "config.json", endpoint=hub.endpoint)
        before = get_hf_file_metadata(url).etag
        file.write_bytes(b"two")
        os.utime(file, ns=(1, 1))
        assert get_hf_file_metadata(url).etag != before


def test_what_is_not_there_is_said_as_the_hub_says_it(api: HfApi, tmp_path: Path) -> None:
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("some.org/a_model-1", "no.json", cache_dir=tmp_path)
    for path in ("../secret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", ".hidden", "sub"):
        connection = http.client.HTTPConnection(api.endpoint.removeprefix("http://"))
        connection.request("GET", f"/some.org/a_model-1/resolve/main/{path}")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("X-Error-Code")) == (404, "EntryNotFound")
        connection.close()
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("some.org/a_model-1", "config.json", revision="0" * 40, cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("some.org/other")
    with pytest.raises(HfHubHTTPError):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="config.json", repo_id="some.org/a_model-1")
