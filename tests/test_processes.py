"""Several processes share the windows of a text, and find the number that one process finds."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from hubkit import processes, tasks
from hubkit.cli.main import run
from hubkit.errors import HubkitError, MeasureError
from hubkit.measures import shares
from hubkit.measures.scoring import Score, score
from hubkit.measures.windows import IGNORE, Stream, Window, causal_windows, masked_windows
from hubkit.models import loading
from hubkit.settings import Base

LAUNCHER = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LENGTHS = st.lists(st.integers(1, 2048), max_size=200)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


@given(LENGTHS, st.integers(1, 17))
def test_shares_are_disjoint_and_cover_all(lengths: list[int], count: int) -> None:
    split = shares.split(lengths, count)
    assert len(split) == count
    assert sorted(number for share in split for number in share) == list(range(len(lengths)))
    assert all(share == sorted(share) for share in split)
    assert split == shares.split(list(lengths), count)


@given(LENGTHS.filter(bool), st.integers(1, 17))
def test_shares_cost_alike(lengths: list[int], count: int) -> None:
    costs = [sum(shares.cost(lengths[number]) for number in share) for share in shares.split(lengths, count)]
    assert max(costs) - min(costs) <= max(shares.cost(length) for length in lengths)


@pytest.mark.parametrize(
    ("said", "count", "main"),
    [
        ({}, 1, True),
        ({"WORLD_SIZE": "8", "RANK": "3"}, 1, True),  # a container's, without a launcher
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "1", "RANK": "0"}, 1, True),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2", "RANK": "0"}, 2, True),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "4", "RANK": "2"}, 4, False),  # the second machine's first
        ({"LOCAL_RANK": "x", "WORLD_SIZE": "2", "RANK": "1"}, 1, True),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "", "RANK": "1"}, 1, True),
    ],
)
def test_what_a_launcher_says(
    said: dict[str, str], count: int, main: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert (processes.count(), processes.is_main()) == (count, main)


def test_one_process_waits_for_nobody() -> None:
    processes.agree()
    processes.leave()
    with processes.main_first():
        pass
    assert processes.fail("wrong", None, 2)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def child(number: int, count: int, port: int, out: Path, work: Callable[[], Any]) -> None:
    """One process of several: write what `work` gives, or its traceback."""
    from accelerate import PartialState

    PartialState._reset_state()  # pytest's own may have made one
    os.environ |= dict(
        zip(LAUNCHER, (str(number), str(number), str(count), str(count), "127.0.0.1", str(port)), strict=True)
    )
    try:
        told = {"gave": work()}
    except BaseException as error:
        told = {"raised": type(error).__name__, "says": str(error), "where": traceback.format_exc()}
    (out / f"{number}.json").write_text(json.dumps(told), encoding="utf-8")


def together(count: int, out: Path, work: Callable[[], Any]) -> list[dict[str, Any]]:
    """What each of `count` forked processes gives; those that died give nothing."""
    port, pids = free_port(), []
    for number in range(count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that the fork does not copy
            pid = os.fork()
        if pid == 0:
            try:
                child(number, count, port, out, work)
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in waiting(pids):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    files = [out / f"{number}.json" for number in range(count)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files]


def waiting(pids: list[int], seconds: float = 60) -> Iterator[int]:
    """Those of the processes that have not ended after so many seconds."""
    until = time.monotonic() + seconds
    left = set(pids)
    while left and time.monotonic() < until:
        left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
        time.sleep(0.01)
    yield from left


def windows_of(task: str, loaded: loading.Loaded) -> tuple[list[Window], int]:
    """Windows over documents of very different lengths, and how many documents."""
    texts = [text * (1 + 3 * (at % 3)) for at, text in enumerate(tiny.text(9))]
    ids = [numpy.asarray(loaded.tokenizer(t, add_special_tokens=False)["input_ids"], "int32") for t in texts]
    streams = [Stream(one, numpy.full(len(one), at, "int32")) for at, one in enumerate(ids)]
    if task == "masked-lm":
        return masked_windows(streams, loaded.tokenizer, 32, 0.15, 0), len(texts)
    return [window for stream in streams for window in causal_windows(stream, 0, 64, 48)], len(texts)


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_processes_find_the_number_of_one(
    task: str, tiny_llama: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    path = tiny_llama if task == "causal-lm" else tiny_bert
    loaded = loading.load_base(Base(id="a/b", path=str(path)), tasks.get(task), dtype="float32")
    windows, documents = windows_of(task, loaded)
    alone = score(loaded.model, windows, 4, documents)

    def work() -> dict[str, Any]:
        scored: list[int] = []

        def part(mine: Any) -> Score:
            scored.extend(next(at for at, one in enumerate(windows) if one is window) for window in mine)
            return score(loaded.model, mine, 4, documents)

        found = shares.score(windows, documents, part)
        state = processes.join()
        return {
            "world": [state.num_processes, state.process_index, state.device.type],
            "scored": scored,
            "nll": found.nll_by_document.tolist(),
            "tokens": found.tokens_by_document.tolist(),
        }

    told = [one["gave"] for one in together(2, tmp_path, work)]
    assert [one["world"] for one in told] == [[2, 0, "cpu"], [2, 1, "cpu"]]
    everything = [number for one in told for number in one["scored"]]
    assert len(everything) == len(set(everything)) == len(windows)
    assert all(one["scored"] for one in told)
    for one in told:
        assert one["tokens"] == alone.tokens_by_document.tolist()
        assert one["nll"] == pytest.approx(alone.nll_by_document.tolist(), rel=1e-6)
        assert sum(one["nll"]) == pytest.approx(alone.nll, rel=1e-6)


def one_window() -> list[Window]:
    ids = numpy.arange(4, dtype="int32")
    return [Window(ids, ids, numpy.zeros(4, "int32"))]


def test_a_process_without_a_window_adds_nothing(tmp_path: Path) -> None:
    def work() -> list[Any]:
        found = shares.score(one_window(), 1, lambda mine: Score(numpy.ones(1), numpy.full(1, len(mine))))
        return [found.nll, found.tokens]

    assert [one["gave"] for one in together(3, tmp_path, work)] == [[1.0, 1]] * 3


def test_the_ways_of_all_processes_are_told(tmp_path: Path) -> None:
    def work() -> list[Any]:
        ways = ["oneDNN linear", None, "oneDNN linear"], [None] * 3, ["oneDNN linear"] * 3
        scores = [
            Score(numpy.ones(1), numpy.ones(1, "int64"), kernels=one[processes.index()]) for one in ways
        ]
        return [shares.total(score, 1).kernels for score in scores]

    for one in together(3, tmp_path, work):
        assert one["gave"] == ["oneDNN linear; torch's own", None, "oneDNN linear"]


def test_no_token_in_any_share_is_an_error_in_each(tmp_path: Path) -> None:
    ids = numpy.full(4, IGNORE, "int32")
    windows = [Window(ids, ids, numpy.zeros(4, "int32"))] * 3

    def work() -> None:
        shares.score(windows, 1, lambda mine: pytest.fail("nothing is to be scored"))

    for one in together(2, tmp_path, work):
        assert (one["raised"], "no token to score" in one["says"]) == (MeasureError.__name__, True)


def test_what_one_process_fails_with_all_end_with(tmp_path: Path) -> None:
    def work() -> list[Any]:
        if processes.index() == 1:
            return [processes.fail("its disk is full", "free some", 2)]
        try:
            processes.agree()
        except HubkitError as error:
            return [error.message, error.hint, error.exit_code, processes.fail(error.message, None, 2)]
        return []

    processes.LAST_WORDS, before = 0.0, processes.LAST_WORDS
    try:
        main, other = together(2, tmp_path, work)
    finally:
        processes.LAST_WORDS = before
    assert main["gave"] == ["process 1 of 2: its disk is full", "free some", 2, True]
    assert other["gave"] == [False]


def test_what_the_main_process_finds_all_are_told(tmp_path: Path) -> None:
    def work() -> list[Any]:
        asked: list[int] = []
        found = processes.main_tells(lambda: asked.append(processes.index()) or tmp_path.name)
        return [found, asked, processes.highest(7 * processes.index())]

    main, other = (one["gave"] for one in together(2, tmp_path, work))
    assert main == [tmp_path.name, [0], 7]
    assert other == [tmp_path.name, [], 7]


def test_one_that_fails_in_training_asks_nobody(tmp_path: Path) -> None:
    """The others wait for its gradients, and would not hear it."""

    def work() -> list[Any]:
        with suppress(ValueError), processes.apart():
            if processes.index() == 1:
                raise ValueError
            return []
        began = time.monotonic()
        says = processes.fail("out of memory", None, 2)
        return [says, processes.named("out of memory"), time.monotonic() - began < 30]

    processes.FIRST_WORDS, before = 0.0, processes.FIRST_WORDS
    try:
        main, other = together(2, tmp_path, work)
    finally:
        processes.FIRST_WORDS = before
    assert main["gave"] == []
    assert other["gave"] == [True, "process 1 of 2: out of memory", True]


def test_an_error_of_the_connection_tells_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = RuntimeError("[/pytorch/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")
    assert not processes.is_lost_peer(lost)  # there is nobody else
    for name, value in (("LOCAL_RANK", "0"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert processes.is_lost_peer(lost)
    assert not processes.is_lost_peer(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ddp", "MULTI_GPU"),
        ("fsdp", "FSDP"),
        ("deepspeed_zero2", "DEEPSPEED"),
        ("deepspeed_zero3", "DEEPSPEED"),
    ],
)
def test_accelerate_reads_the_examples_as_they_are_meant(name: str, kind: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = Path(__file__).parent.parent / "examples" / "accelerate" / f"{name}.yaml"
    read = load_config_from_file(str(path))
    assert (read.distributed_type.value, read.num_processes, read.use_cpu) == (kind, 2, False)
    assert f"accelerate launch --config_file examples/accelerate/{name}.yaml" in path.read_text()
    assert "# Ran: no." in path.read_text()


def test_a_process_that_dies_is_noticed_at_once(tmp_path: Path) -> None:
    def work() -> None:
        processes.agree()
        if processes.index() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        processes.agree()

    main, other = together(2, tmp_path, work)
    assert (main["raised"], other) == (MeasureError.__name__, {})
    assert "ended without a word" in main["says"]


def test_the_others_leave_and_the_main_process_goes_on(tmp_path: Path) -> None:
    def work() -> str:
        processes.leave()
        processes.leave()  # nobody is waited for any more
        processes.agree()
        return "went on"

    main, other = together(2, tmp_path, work)
    assert main["gave"] == "went on"
    assert other["raised"] == "SaidElsewhere"


def test_the_first_process_of_a_machine_fills_the_cache(tmp_path: Path) -> None:
    def work() -> bool:
        with processes.main_first():
            there = (tmp_path / "cache").exists()
            (tmp_path / "cache").touch()
        return there

    assert [one["gave"] for one in together(3, tmp_path, work)] == [False, True, True]


@pytest.mark.parametrize("command", ["run-and-publish", "publish", "card"])
def test_other_commands_run_in_one_process(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("LOCAL_RANK", "0"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "_exchange", lambda trouble: [trouble, trouble])
    assert run([command.replace("-", "_"), "--adapter", "x"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        f"hubkit: hubkit {command} runs in one process, and a launcher started 2. Next: "
    )
    assert said.err.count("\n") == 1
    processes._State.alone = False


def test_the_launcher_is_told_the_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert run(["measure", "--adapter", str(tmp_path / "none")]) == 2
    line = capsys.readouterr().err.strip()
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file=str(tmp_path / "error.json"))
    assert line.startswith("hubkit: ")
    assert line in str(ChildFailedError("hubkit", {0: failure}))
