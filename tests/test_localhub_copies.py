"""Files copied by a commit as huggingface_hub sends them: large ones by digest, small ones as bytes."""

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, HfApi, get_session
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hubkit.localhub import Token, start


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("hub"), tokens={"hf_alice": Token("alice")}) as running:
        yield running


@pytest.fixture(scope="module")
def api(hub):
    return HfApi(endpoint=hub.endpoint, token="hf_alice")


def add(api, repo, path, data):
    return api.create_commit(repo, [CommitOperationAdd(path, data)], commit_message="add").oid


def read(api, repo, path, revision="main"):
    address = f"{api.endpoint}/{repo}/resolve/{revision}/{path}"
    answer = get_session().get(address, headers={"Authorization": f"Bearer {api.token}"})
    answer.raise_for_status()
    return answer.content


@pytest.mark.parametrize(
    ("name", "old", "new"), [("w.bin", b"1" * 500, b"2" * 500), ("a.txt", b"one", b"two")]
)
def test_a_copy_takes_the_bytes_of_its_revision(api, name, old, new):
    repo = f"alice/copies-{name.replace('.', '-')}"
    api.create_repo(repo)
    first = add(api, repo, name, old)
    add(api, repo, name, new)
    copies = [
        CommitOperationCopy(name, f"now-{name}"),
        CommitOperationCopy(name, f"then-{name}", src_revision=first),
    ]
    made = api.create_commit(repo, copies, commit_message="copy")
    assert read(api, repo, f"now-{name}", made.oid) == new
    assert read(api, repo, f"then-{name}") == old
    (entry,) = api.get_paths_info(repo, [f"then-{name}"])
    assert (entry.size, entry.lfs is not None) == (len(old), name == "w.bin")
    # A file may also be put back over itself, which is how a push is taken back.
    api.create_commit(repo, [CommitOperationCopy(name, name, src_revision=first)], commit_message="back")
    assert read(api, repo, name) == old


def test_a_copy_of_nothing_is_refused(api):
    api.create_repo("alice/none")
    for copy, error in (
        (CommitOperationCopy("a.bin", "b.bin"), EntryNotFoundError),
        (CommitOperationCopy(".gitattributes", "b", src_revision="nope"), HfHubHTTPError),
    ):
        with pytest.raises(error):
            api.create_commit("alice/none", [copy], commit_message="copy")
    assert api.list_repo_files("alice/none") == [".gitattributes"]
