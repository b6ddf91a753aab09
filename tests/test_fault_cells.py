"""A few cells of the fault matrix: those that once went wrong, or may double something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_matrix import STORIES, Bench, calls

from hubkit.errors import HubUnreachable
from hubkit.localhub import Fault

NEW, UPDATE, PROPOSE, _, TAG_AND_COLLECT = STORIES


@pytest.fixture(scope="module")
def xet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("xet"), xet=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def lfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("lfs"), xet=False)
    yield made
    made.close()


def lands(bench: Bench, story: object, *faults: Fault) -> None:
    trial = bench.trial(story)  # type: ignore[arg-type]
    bench.board.order(*faults)
    trial.publish()
    assert bench.board.pending() == []
    bench.board.clear()
    assert trial.state() == trial.wanted()


def test_a_lost_end_of_an_upload_in_parts(lfs: Bench) -> None:
    lands(lfs, NEW, Fault("drop", "POST", "/complete"), Fault("cut_upload", "PUT", "/part/2", bytes=1))


def test_a_creation_and_a_commit_whose_answers_are_lost(xet: Bench) -> None:
    lands(xet, NEW, Fault("drop", "POST", "/repos/create"), Fault("cut", "POST", "/commit/", bytes=1))


def test_a_removal_whose_answer_is_lost_and_whose_look_stumbles(lfs: Bench) -> None:
    lands(lfs, UPDATE, Fault("drop", "POST", "/commit/"), Fault("status", "GET", "/commits/main", status=503))


def test_a_tag_and_a_collection_whose_answers_are_lost(xet: Bench) -> None:
    lost = ("/tag/", "/api/collections$", "/items$")
    lands(xet, TAG_AND_COLLECT, *(Fault("drop", "POST", path) for path in lost))


def test_a_pull_request_is_not_opened_twice(xet: Bench) -> None:
    """It is not asked for again where it may come late; the same command goes on."""
    lands(xet, PROPOSE, Fault("drop", "POST", "/commit/"))
    trial = xet.trial(PROPOSE)
    xet.board.order(Fault("reset", "POST", "/commit/"))
    with pytest.raises(HubUnreachable, match="the commit has not landed so far"):
        trial.publish()
    assert calls(trial).count(("POST", "/api/models/REPO/commit/main")) == 1
    assert trial.state() == trial.before
    trial.publish()
    assert trial.state() == trial.wanted()
