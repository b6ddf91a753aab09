"""What every test needs: huggingface_hub away from the home, the tokens and the terminal of who runs them.

It reads its environment when it is imported, so this stands at the top of the module and not in a fixture.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hypothesis
import pytest

# Where there is time, look longer: CI sets CI. A test with settings of its own keeps them.
hypothesis.settings.register_profile("ci", max_examples=1000, deadline=None)
hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "quick")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from hubkit.localhub import RunningHub, Switchboard

_home = tempfile.TemporaryDirectory(prefix="hubkit-tests-")  # removed when the process ends
os.environ["HF_HOME"] = _home.name
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; tiny models gain nothing from more
for _name in (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_OIDC_RESOURCE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_DEBUG",
):
    os.environ.pop(_name, None)

TOLD = "told"
ALICE, READER, BOB = "hf_alice_may_write", "hf_alice_may_read", "hf_bob_may_write"


class Broken(NamedTuple):
    """A local Hub and the switchboard that makes requests to it fail."""

    endpoint: str
    board: Switchboard


@pytest.fixture(scope="session")
def alice_board() -> Switchboard:
    """The switchboard before alice's Hub."""
    from hubkit.localhub import Switchboard

    return Switchboard()


@pytest.fixture
def broken(alice_hub: RunningHub, alice_board: Switchboard) -> Iterator[Broken]:
    """alice's Hub, to be broken."""
    alice_board.clear()
    yield Broken(alice_hub.endpoint, alice_board)
    alice_board.clear()


@pytest.fixture(scope="session")
def alice_hub(tmp_path_factory: pytest.TempPathFactory, alice_board: Switchboard) -> Iterator[RunningHub]:
    """A local Hub with Xet and, beside its own user, two users: alice (write and read tokens) and bob."""
    from hubkit import localhub

    tokens = {
        ALICE: localhub.Token("alice"),
        READER: localhub.Token("alice", "read"),
        BOB: localhub.Token("bob"),
    }
    with localhub.start(tmp_path_factory.mktemp("hub"), tokens=tokens, switchboard=alice_board) as hub:
        yield hub


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny Llama and its tokenizer."""
    import tiny

    return tiny.llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny BERT for masked language modeling and its tokenizer."""
    import tiny

    return tiny.bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser of this machine."""
    from browser import launch

    with launch() as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the modules that train models, so that processes side by side end together."""
    items.sort(key=lambda item: not {"tiny", "torch"} & vars(getattr(item, "module", None)).keys())


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes figures that are shown at the end of the run, whatever process they were seen in."""
    return lambda text: record_property(TOLD, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests told."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == TOLD:
                        terminalreporter.write_line(str(text))
