"""A directory that cannot be written to is published as it is, when nothing has to be written to it first."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_adapter
import pytest
from conftest import ALICE
from huggingface_hub import HfApi

from hubkit import errors, files
from hubkit.hub import Hub
from hubkit.publishing import Plan, Published, PushOptions, Target, publish_to

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

numbers = itertools.count(60_000)
Freeze = Callable[[Path], None]


@pytest.fixture
def freeze(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Freeze:
    """Make a directory one that nobody may write to; for root, whom no mode keeps out, as if it were."""

    def frozen(directory: Path) -> None:
        directory.chmod(0o555)
        request.addfinalizer(lambda: directory.chmod(0o755))
        if os.access(directory, os.W_OK):
            access, beside = os.access, files._created_beside

            def may(path: Any, mode: int) -> bool:
                return not (Path(path) == directory and mode & os.W_OK) and access(path, mode)

            def created(path: str) -> Any:
                if Path(path).parent == directory:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                return beside(path)

            monkeypatch.setattr(os, "access", may)
            monkeypatch.setattr(files, "_created_beside", created)

    return frozen


def publish(
    hub: RunningHub, directory: Path, repo: str, **options: Any
) -> tuple[Published | Plan, list[str]]:
    said: list[str] = []
    chosen = PushOptions(watched=True, audit=False, **options)
    return publish_to(Target(hub=Hub(hub.endpoint, ALICE)), directory, repo, chosen, said.append), said


def test_it_is_published_with_a_note(tmp_path: Path, alice_hub: RunningHub, freeze: Freeze) -> None:
    directory = fake_adapter.write(tmp_path / "adapter", seed=next(numbers))
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    freeze(directory)
    repo = "alice/read-only"
    for nothing_to_do in (False, True):
        done, said = publish(alice_hub, directory, repo)
        assert isinstance(done, Published)
        assert done.nothing_to_do == nothing_to_do
        assert [line for line in said if "cannot be written to" in line] == [
            f"Note: {directory} cannot be written to, so hubkit.json does not remember what is published"
        ] * (not nothing_to_do)
    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()} == before
    api = HfApi(alice_hub.endpoint, ALICE)
    for name in ("README.md", "hubkit.json"):
        assert Path(api.hf_hub_download(repo, name)).read_bytes() == before[name]


def test_where_the_card_must_be_written_nothing_is_pushed(
    tmp_path: Path, alice_hub: RunningHub, freeze: Freeze
) -> None:
    """Its author added to it on the Hub."""
    directory = fake_adapter.write(tmp_path / "adapter", seed=next(numbers))
    repo = "alice/read-only-card"
    publish(alice_hub, directory, repo)
    api = HfApi(alice_hub.endpoint, ALICE)
    card = (directory / "README.md").read_bytes()
    api.upload_file(path_or_fileobj=card + b"\n## Thanks\n", path_in_repo="README.md", repo_id=repo)
    freeze(directory)
    with pytest.raises(
        errors.HubkitError, match=r"cannot be written to, and README\.md must be written anew"
    ):
        publish(alice_hub, directory, repo)
    plan, _ = publish(alice_hub, directory, repo, dry_run=True)
    assert isinstance(plan, Plan)
    assert "cannot be written to" in (plan.refused or "")
    assert len(api.list_repo_commits(repo)) == 3
