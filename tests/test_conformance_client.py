"""The local Hub driven by huggingface_hub as it comes, with no code of hubkit between the two."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conforming import ALICE, BOB, READER, fresh, running
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    NotASafetensorsRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CARD = "---\nlicense: mit\nlibrary_name: peft\nbase_model: a/b\nlanguage: no\ntags:\n- lora\n---\n# Hi\n"


def safetensors(**shapes: list[int]) -> bytes:
    """A safetensors file of zeros in float32."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=ALICE)


@pytest.fixture(scope="module")
def bob(hub):
    return HfApi(endpoint=hub.endpoint, token=BOB)


@pytest.fixture(scope="module")
def nobody(hub):
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def repo(api):
    return api.create_repo(fresh()).repo_id


def refused(kind, status, call, *args, **options):
    """The client's error for a refusal; its status and the server's own words must be on it."""
    with pytest.raises(kind) as caught:
        call(*args, **options)
    error = caught.value
    assert type(error) is kind, error
    assert error.response.status_code == status
    assert error.server_message
    return error


def add(api, repo, files, **options):
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    return api.create_commit(repo, operations, commit_message=options.pop("message", "change"), **options)


# --- repos and who may do what


def test_repos(api, bob, repo):
    refused(HfHubHTTPError, 409, api.create_repo, repo)
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    refused(HfHubHTTPError, 403, bob.create_repo, "alice/of-bob")
    refused(HfHubHTTPError, 403, api.create_repo, "bob/of-alice")
    hidden = fresh("acme")
    assert api.create_repo(hidden, private=True).url == f"{api.endpoint}/{hidden}"
    assert api.model_info(hidden).private is True
    api.update_repo_settings(hidden, private=False, gated="auto")
    info = api.model_info(hidden)
    assert (info.private, info.gated) == (False, "auto")
    api.update_repo_settings(hidden, gated=False)
    moved = fresh()
    api.move_repo(hidden, moved)
    assert api.model_info(moved).id == moved
    refused(HfHubHTTPError, 409, api.move_repo, moved, repo)
    refused(RepositoryNotFoundError, 404, api.move_repo, fresh(), fresh())
    api.delete_repo(moved)
    refused(RepositoryNotFoundError, 404, api.delete_repo, moved)
    api.delete_repo(moved, missing_ok=True)


def test_who_asks(hub, api, bob, nobody, repo):
    me = api.whoami()
    assert (me["name"], me["auth"]["accessToken"]["role"], me["orgs"][0]["name"]) == (
        "alice",
        "write",
        "acme",
    )
    wrong = HfApi(endpoint=hub.endpoint, token="hf_wrong")
    refused(HfHubHTTPError, 401, wrong.model_info, repo)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        wrong.whoami()
    api.auth_check(repo)
    api.auth_check(repo, write=True)
    bob.auth_check(repo)
    refused(HfHubHTTPError, 403, bob.auth_check, repo, write=True)
    reader = HfApi(endpoint=hub.endpoint, token=READER)
    refused(HfHubHTTPError, 403, reader.auth_check, repo, write=True)
    refused(HfHubHTTPError, 403, reader.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    refused(HfHubHTTPError, 403, bob.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_private_repos_do_not_exist_for_others(api, bob, nobody, repo, tmp_path):
    add(api, repo, {"README.md": CARD.encode()})
    api.update_repo_settings(repo, private=True)
    for other, status in ((bob, 404), (nobody, 401)):
        for call in (
            lambda other=other: other.model_info(repo),
            lambda other=other: other.auth_check(repo),
            lambda other=other: list(other.list_repo_tree(repo)),
            lambda other=other: other.list_repo_refs(repo),
            lambda other=other: other.hf_hub_download(repo, "README.md", cache_dir=tmp_path),
        ):
            refused(RepositoryNotFoundError, status, call)
        assert not other.repo_exists(repo)
        assert repo not in {model.id for model in other.list_models(author="alice")}
        # What does not exist reads the same.
        refused(RepositoryNotFoundError, status, other.model_info, fresh())
    refused(
        RepositoryNotFoundError, 404, bob.upload_file, path_or_fileobj=b"", path_in_repo="x", repo_id=repo
    )
    assert repo in {model.id for model in api.list_models(author="alice")}


# --- commits


def test_commits(api, repo, tmp_path):
    large = os.urandom(200_000)
    (tmp_path / "w.safetensors").write_bytes(large)
    before = api.model_info(repo).sha
    first = add(
        api,
        repo,
        {"README.md": CARD.encode(), "a/w.safetensors": tmp_path / "w.safetensors", "a/empty.bin": b""},
        commit_description="The body.",
        parent_commit=before[:7],
    )
    assert first.commit_url == f"{api.endpoint}/{repo}/commit/{first.oid}"
    error = refused(HfHubHTTPError, 412, add, api, repo, {"x": b"x"}, parent_commit=before)
    assert "since" in error.server_message
    operations = [
        CommitOperationCopy("a/w.safetensors", "b/w.safetensors"),
        CommitOperationCopy("README.md", "b/README.md"),
        CommitOperationDelete("a/"),
        CommitOperationAdd("a", b"a file where a folder was"),
    ]
    second = api.create_commit(repo, operations, commit_message="Move", parent_commit=first.oid)
    assert sorted(api.list_repo_files(repo)) == [
        ".gitattributes",
        "README.md",
        "a",
        "b/README.md",
        "b/w.safetensors",
    ]
    assert sorted(api.list_repo_files(repo, revision=first.oid))[2:] == ["a/empty.bin", "a/w.safetensors"]
    assert Path(api.hf_hub_download(repo, "b/w.safetensors", cache_dir=tmp_path)).read_bytes() == large
    listed = api.list_repo_commits(repo, formatted=True)
    assert [commit.commit_id for commit in listed] == [second.oid, first.oid, before]
    assert (listed[1].message, listed[1].authors, listed[0].formatted_title) == (
        "The body.",
        ["alice"],
        "Move",
    )
    refused(RemoteEntryNotFoundError, 404, api.delete_file, "nope", repo)
    refused(RemoteEntryNotFoundError, 404, api.delete_folder, "nope", repo)
    refused(RevisionNotFoundError, 404, add, api, repo, {"x": b"x"}, revision="nope")
    refused(BadRequestError, 400, add, api, repo, {"a/b": b"a is a file"})
    # The same again is no commit: the client is told so by the digests in preupload's answer.
    same = add(api, repo, {"README.md": CARD.encode(), "b/w.safetensors": tmp_path / "w.safetensors"})
    assert same.oid == second.oid


def test_folders(api, repo, tmp_path):
    folder = tmp_path / "adapter"
    (folder / "figures").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(50_000))
    (folder / "README.md").write_text(CARD)
    (folder / "figures/loss.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (folder / "left.tmp").write_text("not this one")
    api.upload_file(path_or_fileobj=b"old", path_in_repo="old.txt", repo_id=repo)
    done = api.upload_folder(
        repo_id=repo, folder_path=folder, ignore_patterns="*.tmp", delete_patterns="*.txt"
    )
    place = Path(snapshot_download(repo, endpoint=api.endpoint, token=ALICE, cache_dir=tmp_path / "cache"))
    assert place.name == done.oid
    found = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    assert set(found) == {".gitattributes", "README.md", "model.safetensors", "figures/loss.png"}
    assert found["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    operations = [CommitOperationAdd("late.bin", os.urandom(1000))]
    api.preupload_lfs_files(repo, operations)
    api.create_commit(repo, operations, commit_message="Uploaded before")
    assert api.file_exists(repo, "late.bin")


def test_git_attributes_and_git_ignore(api, repo):
    """A large file that no line of .gitattributes names gets one; what .gitignore names is left out."""
    rules = api.hf_hub_download(repo, ".gitattributes")
    before = Path(rules).read_text()
    add(api, repo, {"loss of x.png": b"\x89PNG\0", "w.safetensors": b"\0w", "a.txt": b"text"})
    after = Path(api.hf_hub_download(repo, ".gitattributes")).read_text()
    assert after == before + "loss[[:space:]]of[[:space:]]x.png filter=lfs diff=lfs merge=lfs -text\n"
    add(api, repo, {"loss of x.png": b"\x89PNG\0again", ".gitattributes": b"*.txt filter=lfs\n"})
    add(api, repo, {"b.txt": b"by its name", "c.safetensors": b"text now"})
    entries = {item.path: item for item in api.list_repo_tree(repo)}
    assert (entries["b.txt"].lfs is None, entries["c.safetensors"].lfs) == (False, None)
    add(api, repo, {".gitignore": b"*.log\nruns/\n!keep.log\n"})
    add(api, repo, {"x.log": b"x", "keep.log": b"k", "runs/1/a.txt": b"a", "y.md": b"y"})
    assert not {"x.log", "runs/1/a.txt"} & set(api.list_repo_files(repo))
    assert {"keep.log", "y.md"} <= set(api.list_repo_files(repo))


# --- references


def test_branches_and_tags(api, bob, repo):
    first = api.model_info(repo).sha
    api.create_branch(repo, branch="dev")
    refused(HfHubHTTPError, 409, api.create_branch, repo, branch="dev")
    api.create_branch(repo, branch="dev", exist_ok=True)
    refused(RevisionNotFoundError, 404, api.create_branch, repo, branch="x", revision="nope")
    refused(BadRequestError, 400, api.create_branch, repo, branch="refs/pr/5")
    refused(HfHubHTTPError, 403, bob.create_branch, repo, branch="bob")
    made = add(api, repo, {"a.txt": b"a"}, revision="dev")
    api.create_branch(repo, branch="old/one", revision=first)
    api.create_tag(repo, tag="v1", revision="dev", tag_message="First")
    refused(HfHubHTTPError, 409, api.create_tag, repo, tag="v1")
    api.create_tag(repo, tag="v1", exist_ok=True)
    refused(RevisionNotFoundError, 404, api.create_tag, repo, tag="v2", revision="nope")
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {
        "main": first,
        "dev": made.oid,
        "old/one": first,
    }
    assert [(ref.name, ref.ref, ref.target_commit) for ref in refs.tags] == [("v1", "refs/tags/v1", made.oid)]
    assert refs.pull_requests == []
    for revision in ("dev", "v1", made.oid, "refs/heads/dev"):
        assert api.model_info(repo, revision=revision).sha == made.oid
    assert api.list_repo_files(repo, revision="old/one") == [".gitattributes"]
    refused(HfHubHTTPError, 403, api.delete_branch, repo, branch="main")
    api.delete_branch(repo, branch="old/one")
    refused(RevisionNotFoundError, 404, api.delete_branch, repo, branch="old/one")
    refused(BadRequestError, 400, api.super_squash_history, repo, branch="v1")
    refused(RevisionNotFoundError, 404, api.super_squash_history, repo, branch="nope")
    add(api, repo, {"b.txt": b"b"}, revision="dev")
    api.super_squash_history(repo, branch="dev", commit_message="One")
    assert [commit.title for commit in api.list_repo_commits(repo, revision="dev")] == ["One"]
    assert api.list_repo_files(repo, revision="dev") == [".gitattributes", "a.txt", "b.txt"]
    api.delete_tag(repo, tag="v1")
    refused(RevisionNotFoundError, 404, api.delete_tag, repo, tag="v1")


# --- discussions and pull requests


def test_pull_requests(api, bob, nobody, repo):
    base = api.model_info(repo).sha
    opened = add(bob, repo, {"a.txt": b"a"}, create_pr=True, commit_description="Because.")
    assert (opened.pr_num, opened.pr_revision) == (1, "refs/pr/1")
    assert api.model_info(repo).sha == base
    add(bob, repo, {"b.txt": b"b"}, revision="refs/pr/1", message="more")
    assert sorted(api.list_repo_files(repo, revision="refs/pr/1")) == [".gitattributes", "a.txt", "b.txt"]
    # Whoever neither opened it nor owns the repo may not add to it.
    second = add(api, repo, {"c.txt": b"c"}, create_pr=True)
    refused(HfHubHTTPError, 403, add, bob, repo, {"d.txt": b"d"}, revision=second.pr_revision)
    refused(HfHubHTTPError, 401, add, nobody, repo, {"d.txt": b"d"}, create_pr=True)
    details = api.get_discussion_details(repo, 1)
    assert [event.type for event in details.events] == ["comment", "commit", "commit"]
    assert (details.status, details.target_branch, details.author) == ("open", "refs/heads/main", "bob")
    assert "+a" in details.diff
    assert details.conflicting_files == []
    refused(HfHubHTTPError, 403, bob.merge_pull_request, repo, 1)
    api.merge_pull_request(repo, 1, comment="Thanks.")
    assert api.get_discussion_details(repo, 1).merge_commit_oid == api.model_info(repo).sha
    assert api.file_exists(repo, "b.txt")
    # It starts at the commit that was named, whatever has happened since.
    add(bob, repo, {"a.txt": b"otherwise"}, create_pr=True, parent_commit=base)
    assert api.get_discussion_details(repo, 3).conflicting_files == ["a.txt"]
    refused(HfHubHTTPError, 409, api.merge_pull_request, repo, 3)
    refused(RevisionNotFoundError, 404, add, bob, repo, {"a": b""}, create_pr=True, parent_commit="f" * 40)
    refs = api.list_repo_refs(repo, include_pull_requests=True).pull_requests
    assert [ref.ref for ref in refs] == ["refs/pr/1", "refs/pr/2", "refs/pr/3"]


def test_discussions(api, bob, repo):
    asked = bob.create_discussion(repo, title="Why?", description="Tell me.")
    api.comment_discussion(repo, asked.num, "Because.")
    said = bob.comment_discussion(repo, asked.num, "I see")
    bob.edit_discussion_comment(repo, asked.num, said.id, "I see.")
    ours = api.get_discussion_details(repo, asked.num).events[1].id
    refused(HfHubHTTPError, 403, bob.edit_discussion_comment, repo, asked.num, ours, "No.")
    refused(HfHubHTTPError, 404, bob.edit_discussion_comment, repo, asked.num, "0" * 24, "No.")
    with pytest.warns(UserWarning, match="irreversible"):
        bob.hide_discussion_comment(repo, asked.num, said.id)
    bob.rename_discussion(repo, asked.num, "Why, then?")
    api.change_discussion_status(repo, asked.num, "closed", comment="Done.")
    api.create_pull_request(repo, title="A draft")
    found = api.get_discussion_details(repo, asked.num)
    assert (found.title, found.status, found.is_pull_request) == ("Why, then?", "closed", False)
    kinds = ["comment", "comment", "comment", "title-change", "comment", "status-change"]
    assert [event.type for event in found.events] == kinds
    assert (found.events[2].edited, found.events[2].hidden, found.events[2].content) == (True, True, "")
    listed = {d.num: d.status for d in api.get_repo_discussions(repo)}
    assert listed == {asked.num: "closed", asked.num + 1: "draft"}
    for options, numbers in (
        ({"discussion_type": "pull_request"}, [2]),
        ({"discussion_status": "closed"}, [1]),
        ({"author": "bob"}, [1]),
    ):
        assert [d.num for d in api.get_repo_discussions(repo, **options)] == numbers
    refused(HfHubHTTPError, 404, api.get_discussion_details, repo, 99)


# --- what is told


def test_trees_and_paths(api, repo):
    add(api, repo, {"a/b/c.txt": b"c", "a/d.bin": b"\0d", "e.txt": b"e"})
    assert [item.path for item in api.list_repo_tree(repo)] == [".gitattributes", "a", "e.txt"]
    assert [item.path for item in api.list_repo_tree(repo, "a")] == ["a/b", "a/d.bin"]
    every = {item.path: item for item in api.list_repo_tree(repo, recursive=True, expand=True)}
    assert list(every) == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d.bin", "e.txt"]
    assert every["a/d.bin"].lfs.size == 2
    assert every["e.txt"].last_commit.title == "change"
    refused(RemoteEntryNotFoundError, 404, lambda: list(api.list_repo_tree(repo, "nope")))
    refused(RevisionNotFoundError, 404, lambda: list(api.list_repo_tree(repo, revision="nope")))
    some = api.get_paths_info(repo, ["a", "e.txt", "nope"], expand=True)
    assert [item.path for item in some] == ["a", "e.txt"]


@pytest.mark.soak
def test_pages_of_a_tree(api, repo):
    add(api, repo, {f"f/{number:04}.txt": b"" for number in range(1005)})
    assert len(list(api.list_repo_tree(repo, "f"))) == 1005
    assert len(list(api.list_repo_tree(repo, recursive=True, expand=True))) == 1007


def test_model_info(api, nobody, repo):
    config = {"base_model_name_or_path": "a/b", "task_type": "CAUSAL_LM", "peft_type": "LORA"}
    files = {
        "README.md": CARD.encode(),
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": safetensors(a=[2, 3]),
    }
    done = add(api, repo, files)
    info = nobody.model_info(repo, files_metadata=True, securityStatus=True)
    assert (info.id, info.author, info.sha, info.library_name) == (repo, "alice", done.oid, "peft")
    assert {"lora", "peft", "license:mit", "no", "base_model:a/b", "base_model:adapter:a/b"} <= set(info.tags)
    assert info.card_data["license"] == "mit"
    assert info.card_data["language"] == "no"  # a word, as the Hub reads it
    assert info.safetensors.total == 6
    by_name = {item.rfilename: item for item in info.siblings}
    assert by_name["adapter_model.safetensors"].lfs.size == len(files["adapter_model.safetensors"])
    assert by_name["README.md"].size == len(CARD)
    brief = nobody.model_info(repo, expand=["sha", "cardData"])
    assert (brief.sha, brief.card_data["license"], brief.siblings, brief.tags) == (
        done.oid,
        "mit",
        None,
        None,
    )
    refused(BadRequestError, 400, nobody.model_info, repo, expand=["nonsense"])
    refused(RevisionNotFoundError, 404, nobody.model_info, repo, revision="nope")
    for name in ("bert-base-uncased", "alice/nope"):
        refused(RepositoryNotFoundError, 401, nobody.model_info, name)
    refused(RepositoryNotFoundError, 404, api.dataset_info, "alice/data")


def test_lists(api, bob):
    for number in range(3):
        made = bob.create_repo(f"bob/listed-{number}").repo_id
        add(bob, made, {"README.md": CARD.encode(), "model.safetensors": safetensors(a=[number + 1, 1000])})
    bob.create_repo("bob/other")

    def names(**options):
        return [model.id for model in api.list_models(author="bob", **options)]

    three = [f"bob/listed-{number}" for number in range(3)]
    assert names() == [*three, "bob/other"]
    assert names(filter=["base_model:adapter:a/b", "lora"]) == []
    assert names(filter=["base_model:finetune:a/b", "lora", "license:mit"]) == three
    assert names(search="OTHER") == ["bob/other"]
    assert names(limit=2) == three[:2]
    assert names(pipeline_tag="fill-mask") == []
    assert names(gated=True) == []
    assert names(inference="warm") == []
    assert names(num_parameters="min:2K,max:1M") == three[1:]
    assert names(sort="created_at") == ["bob/other", *three[::-1]]
    refused(BadRequestError, 400, lambda: names(sort="nonsense"))
    brief, full = (
        next(api.list_models(author="bob")),
        next(api.list_models(author="bob", full=True, cardData=True)),
    )
    assert (brief.sha, brief.siblings, brief.card_data, brief.last_modified) == (None, None, None, None)
    assert full.sha
    assert full.card_data["license"] == "mit"
    assert [file.rfilename for file in full.siblings] == [".gitattributes", "README.md", "model.safetensors"]
    assert next(api.list_models(author="bob", expand=["sha"])).sha == full.sha


# --- downloads


def test_downloads(hub, api, repo, tmp_path):
    data = os.urandom(300_000)
    add(api, repo, {"w.bin": data, "config.json": b"{}"})
    options = {"endpoint": hub.endpoint, "token": ALICE, "cache_dir": tmp_path}
    place = Path(hf_hub_download(repo, "w.bin", **options))
    assert place.read_bytes() == data
    place.resolve().rename(tmp_path / "gone")
    # What a broken download left is gone on with, by a range.
    unfinished = place.resolve().with_name(place.resolve().name + ".incomplete")
    unfinished.write_bytes(data[:100_000])
    assert Path(hf_hub_download(repo, "w.bin", **options)).read_bytes() == data
    facts = api.get_hf_file_metadata(url=hf_hub_url(repo, "w.bin", endpoint=hub.endpoint))
    assert (facts.size, facts.commit_hash) == (300_000, api.model_info(repo).sha)
    assert (api.file_exists(repo, "w.bin"), api.file_exists(repo, "nope")) == (True, False)
    assert api.file_exists(repo, "w.bin", revision="nope") is False
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(repo, "nope", **options)
    refused(RevisionNotFoundError, 404, hf_hub_download, repo, "w.bin", revision="nope", **options)


def test_safetensors_headers(api, repo):
    add(api, repo, {"adapter_model.safetensors": safetensors(a=[2, 3], b=[4, 5])})
    header = api.parse_safetensors_file_metadata(repo, "adapter_model.safetensors")
    assert header.parameter_count == {"F32": 26}
    with pytest.raises(NotASafetensorsRepoError):
        api.get_safetensors_metadata(repo)
    add(api, repo, {"model.safetensors": safetensors(c=[1, 1])})
    assert api.get_safetensors_metadata(repo).weight_map == {"c": "model.safetensors"}


# Cards go to HF_ENDPOINT, which is read when the client is imported; and so is whether Xet is off.
CARDS = """
    import os, sys
    from pathlib import Path
    from huggingface_hub import HfApi, ModelCard, metadata_update, snapshot_download
    from huggingface_hub.constants import HF_HUB_DISABLE_XET

    assert HF_HUB_DISABLE_XET
    repo, folder = sys.argv[1], Path(sys.argv[2])
    api = HfApi()
    api.create_repo(repo)
    card = ModelCard("---\\nlicense: mit\\ntags: [lora]\\n---\\n# Hi\\n")
    card.validate()
    card.push_to_hub(repo, commit_message="A card")
    assert ModelCard.load(repo).data.license == "mit"
    metadata_update(repo, {"library_name": "peft"})
    assert ModelCard.load(repo).data.library_name == "peft"
    pull = card.push_to_hub(repo, create_pr=True)
    card.data.license = "mitt"
    for refused in (card.validate, lambda: card.push_to_hub(repo)):
        try:
            refused()
        except ValueError as error:
            assert "license" in str(error) and "mitt" in str(error), error
        else:
            raise AssertionError("a card with a wrong license was taken")
    (folder / "up").mkdir()
    weights = os.urandom(100_000)
    (folder / "up/weights.bin").write_bytes(weights)
    api.upload_folder(repo_id=repo, folder_path=folder / "up")
    place = snapshot_download(repo, cache_dir=folder)
    assert (Path(place) / "weights.bin").read_bytes() == weights
    print(*[commit.title for commit in api.list_repo_commits(repo)], sep="\\n")
"""


@pytest.mark.soak
def test_cards_and_lfs_with_xet_off(hub, tmp_path):
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ALICE, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", textwrap.dedent(CARDS), fresh(), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "Update metadata with huggingface_hub",
        "A card",
        "initial commit",
    ]


@pytest.mark.soak
def test_all_of_this_with_xet_off(tmp_path):
    """The client reads whether Xet is off when it is imported, so a process of its own does it all again."""
    command = [sys.executable, "-m", "pytest", "-m", "not soak", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stdout[-3000:]
