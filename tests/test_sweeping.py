"""Sweeps: what a matrix means, what is refused and where, what runs, what runs again, and what it will cost.

The stages of a run are played by a function that writes what they would write.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from card_cases import CASES, with_digest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import adapter, record, settings
from hubkit.cli.main import run
from hubkit.errors import SettingsError
from hubkit.interrupts import Signalled
from hubkit.record import Dataset, Record, Training
from hubkit.sweeping import combining, cost, local, matrix, running, scripts
from hubkit.sweeping.combining import Combination
from hubkit.yaml_source import Source

BASE = """\
base_model: HuggingFaceTB/SmolLM2-135M
task: causal-lm
dataset: {id: Salesforce/wikitext, config: wikitext-2-raw-v1}
training: {max_steps: 10, batch_size: 2, block_size: 32}
measuring: {throughput: false}
"""
ON_HUB = "{id: Salesforce/wikitext, config: wikitext-2-raw-v1}"
ON_FILE = BASE.replace(ON_HUB, "{files: [text.txt]}")
SWEEP = """\
base: base.yaml
matrix:
  method: [lora, hira]
  method.r: [4, 8]
  training.seed: [1, 2]
output_dir: out
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    Path("sweep.yaml").write_text(SWEEP)
    return tmp_path


def load(text: str = SWEEP) -> matrix.Sweep:
    Path("sweep.yaml").write_text(text)
    return matrix.load(Path("sweep.yaml"))


# --- combinations ------------------------------------------------------------------------------------------


def combined(
    plain: dict[str, list[Any]],
    include: Sequence[dict[str, Any]] = (),
    exclude: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    found = combining.combinations(plain, list(include), list(exclude), Source(None))
    return [one.values for one in found]


def test_include_and_exclude_are_those_of_github_actions() -> None:
    """The example of the documentation of GitHub Actions, with settings for fruits and animals."""
    fruits = {"method": ["lora", "hira"], "task": ["causal-lm", "masked-lm"]}
    include: list[dict[str, Any]] = [
        {"training.epochs": 1},
        {"training.epochs": 2, "task": "causal-lm"},
        {"method": "lora", "training.seed": 3},
        {"method": "qlora"},
        {"method": "qlora", "task": "causal-lm"},
    ]
    assert combined(fruits, include) == [
        {"method": "lora", "task": "causal-lm", "training.epochs": 2, "training.seed": 3},
        {"method": "lora", "task": "masked-lm", "training.epochs": 1, "training.seed": 3},
        {"method": "hira", "task": "causal-lm", "training.epochs": 2},
        {"method": "hira", "task": "masked-lm", "training.epochs": 1},
        {"method": "qlora"},
        {"method": "qlora", "task": "causal-lm"},
    ]


def test_exclude_takes_out_what_has_all_of_its_values_and_comes_first() -> None:
    plain = {"method": [{"name": "lora", "alpha": 2}, "hira"], "method.r": [4, 8]}
    assert combined(plain, exclude=[{"method": "lora", "method.r": 8}]) == [
        {"method": {"name": "lora", "alpha": 2}, "method.r": 4},
        {"method": "hira", "method.r": 4},
        {"method": "hira", "method.r": 8},
    ]
    # what was taken out comes back by itself
    again = combined({"method.r": [4]}, [{"method.r": 8}], [])
    assert again == [{"method.r": 4}, {"method.r": 8}]


@pytest.mark.parametrize(
    ("values", "key", "wanted", "has"),
    [
        ({"method": "lora"}, "method.name", "lora", True),
        ({"method.name": "lora"}, "method", "lora", True),
        ({"method": {"name": "lora", "r": 4}}, "method.r", 4, True),
        ({"method": {"name": "lora", "r": 4}}, "method.r", 4.0, False),
        ({"dataset": {"id": "a/b", "config": "c"}}, "dataset", "a/b", True),
        ({"dataset": {"id": "a/b"}}, "dataset.config", "c", False),
        ({"training.seed": 1}, "training.seed", True, False),
        ({}, "training.seed", 1, False),
    ],
)
def test_a_value_is_found_however_it_is_written(
    values: dict[str, Any], key: str, wanted: Any, has: bool
) -> None:
    assert combining._has(values, key, wanted) is has


keys = st.sampled_from(["training.seed", "training.epochs", "method.r", "method.alpha"])


@given(st.dictionaries(keys, st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True), min_size=1))
def test_a_product_has_each_combination_once(plain: dict[str, list[int]]) -> None:
    found = combined(plain)
    size = 1
    for values in plain.values():
        size *= len(values)
    assert len(found) == size == len({json.dumps(one, sort_keys=True) for one in found})
    assert all(value in plain[key] for one in found for key, value in one.items())


# --- runs and their names ----------------------------------------------------------------------------------


def test_runs_have_short_names_that_stay(here: Path) -> None:
    names = [one.name for one in load().runs]
    assert len(set(names)) == 8
    assert re.fullmatch(r"lora-r4-s1-[0-9a-f]{6}", names[0])
    assert names == [one.name for one in load().runs]
    more = [one.name for one in load(SWEEP.replace("[1, 2]", "[1, 2, 3]")).runs]
    assert set(names) < set(more)  # those that are done stay done
    Path("base.yaml").write_text(BASE + "card: {title: Other}\nverifying: {usage: false}\n")
    assert [one.name for one in load().runs] == names
    Path("base.yaml").write_text(BASE.replace("max_steps: 10", "max_steps: 11"))
    assert not {one.name for one in load().runs} & set(names)  # other trainings, in other directories


def test_each_run_has_its_settings_whole(here: Path) -> None:
    one = load().runs[5]
    told = one.run.settings
    assert (one.run.method.NAME, one.run.method_parameters.r, told.training.seed) == ("hira", 4, 2)
    assert one.directory == Path("out") / one.name
    job = local.job(one)
    again, _ = settings.load(one.directory / "settings.yaml")
    assert again == told
    assert job.settings_sha256 == local.digest(one)


def test_seeds_are_compared_on_one_text(here: Path) -> None:
    assert {one.plain["dataset"]["split_seed"] for one in load().runs} == {42}
    Path("base.yaml").write_text(BASE.replace("v1}", "v1, eval_split: test}"))
    assert all("split_seed" not in one.plain["dataset"] for one in load().runs)
    Path("base.yaml").write_text(BASE)
    no_seeds = load(SWEEP.replace("training.seed: [1, 2]", "training.epochs: [1]"))
    assert all("split_seed" not in one.plain["dataset"] for one in no_seeds.runs)


def test_a_base_may_stand_in_the_sweep(here: Path) -> None:
    inline = "base: {" + ", ".join(BASE.strip().splitlines()) + "}\nmatrix: {method.r: [2]}\n"
    assert load(inline).runs[0].run.method_parameters.r == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base: none.yaml\n", "1: base: there is no settings file none.yaml"),
        ("matrix: {}\n", "1: settings: the key 'base' is missing"),
        (SWEEP.replace("[4, 8]", "4"), "4: matrix.method.r is a list of values: [4]"),
        (SWEEP.replace("[4, 8]", "[]"), "4: matrix.method.r has no values"),
        (SWEEP.replace("[4, 8]", "[4, x]"), "4: method.r: expected a whole number of at least 1, got 'x'"),
        (SWEEP.replace("method.r", "method.rank"), "4: unknown key 'rank', did you mean 'r'?"),
        (SWEEP.replace("hira]", "hiro]"), "3: unknown method 'hiro', did you mean 'hira'?"),
        (SWEEP.replace("training", "traning"), "5: unknown key 'traning', did you mean 'training'?"),
        (SWEEP.replace("training.seed", "output_dir"), "5: a sweep cannot vary output_dir"),
        (SWEEP + "exclude: [{method: qlora}]\n", "7: exclude.0 is in no combination"),
        (SWEEP + "exclude:\n- {method.r: 4}\n- {method.r: 8}\n", "7: exclude leaves no combination"),
        (SWEEP + "include: [{training.seeed: 1}]\n", "7: unknown key 'seeed', did you mean 'seed'?"),
        (SWEEP + "matrx: {}\n", "7: unknown key 'matrx', did you mean 'matrix'?"),
        (SWEEP.replace("output_dir", "  include"), "6: include stands beside matrix, not in it"),
        (SWEEP.replace("[1, 2]", "[1, 1]"), "3: two runs are the same"),
        (SWEEP + "resources: {num_cpus: 0}\n", "7: resources.num_cpus"),
        (SWEEP.replace("[1, 2]", f"{list(range(3000))}"), "2: matrix has 12,000 combinations"),
    ],
)  # fmt: skip
def test_a_bad_matrix_is_one_line_with_its_place(
    here: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sweep.yaml").write_text(text)
    assert run(["sweep", "sweep.yaml"]) == 2
    error = capsys.readouterr().err
    assert f"sweep.yaml:{said}" in error
    assert error.count("\n") == 1
    assert not Path("out").exists()  # before any run begins


def test_what_is_wrong_in_the_base_is_said_of_the_base(here: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("batch_size", "batch_sise"))
    with pytest.raises(SettingsError, match=r"base\.yaml:4: unknown key 'batch_sise'"):
        load()
    Path("base.yaml").write_text(ON_FILE)
    with pytest.raises(SettingsError, match=r"base\.yaml:3: dataset\.files: there is no text\.txt"):
        load()


@given(st.text(max_size=80))
def test_no_text_is_more_than_one_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(("base: {}\nmatrix:\n  " + text).encode(errors="replace"))
    with pytest.raises(SettingsError):
        matrix.load(path)


# --- running -----------------------------------------------------------------------------------------------


class Played:
    """The stages of runs, without models: writes the record that each would write."""

    def __init__(self, **fails: str) -> None:
        self.fails = fails  # the beginning of a run's name -> what it says
        self.ran: list[tuple[str, str]] = []

    def __call__(self, directory: Path, words: Sequence[str]) -> int:
        name = directory.name
        self.ran.append((name, words[0]))
        for begun, line in self.fails.items():
            if name.startswith(begun):
                (directory / local.LOG).write_text(f"$ hubkit {words[0]} x\n12 lines\n{line}\nbye\n")
                return 2
        if words[0] == "train":
            self.train(directory)
        return 0

    def train(self, directory: Path) -> None:
        told, _ = settings.load(directory / "settings.yaml")
        made = CASES["causal-lora"](directory / "adapter")
        weights = made / adapter.WEIGHTS_NAME
        weights.write_bytes(weights.read_bytes()[:-1] + bytes([len(self.ran)]))
        known = with_digest(made, record.read(made))
        assert known.training is not None
        assert known.measures.perplexity is not None
        assert isinstance(told.method, dict)
        known.training.seed = told.training.seed
        known.measures.perplexity.value = 20 - told.method["r"] + told.training.seed / 10
        known.method = record.Method(name=told.method["name"], parameters={"r": told.method["r"]})
        record.write(made, known)


def swept(sweep: matrix.Sweep, stages: Played, **wanted: Any) -> tuple[running.Outcome, list[str]]:
    lines: list[str] = []
    todo = running.todo(sweep, running.Wanted(**wanted))

    def runner(jobs: Any, begun: Any) -> Any:
        return running.here(jobs, begun, stages)

    outcome = running.run(sweep, todo, cost.Forecast({one.name: 60.0 for one in todo}), runner, lines.append)
    return outcome, lines


def test_a_run_that_fails_keeps_no_other_from_its_turn_and_what_is_done_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = Played(**{"lora-r8-s1": "hubkit: the loss is not finite at step 3. Next: lower it"})
    monkeypatch.setattr(local, "process", stages)
    assert run(["sweep", "sweep.yaml", "--no-probe"]) == 1
    shown = capsys.readouterr()
    (failed,) = {name for name, _ in stages.ran if name.startswith("lora-r8-s1")}
    assert f"failed: {failed}: the loss is not finite at step 3. Next: lower it" in shown.err
    assert f"hubkit train out/{failed}/settings.yaml && hubkit measure" in shown.err
    assert shown.err.splitlines()[-1].startswith(f"hubkit: 1 run failed: {failed}. Next: ")
    assert len({name for name, _ in stages.ran}) == 8
    assert [stage for name, stage in stages.ran if name == failed] == ["train"]
    again = Played()
    monkeypatch.setattr(local, "process", again)
    assert run(["sweep", "sweep.yaml", "--no-probe", "-q"]) == 0
    assert {name for name, _ in again.ran} == {failed}
    how = local.status(Path("out") / failed)
    assert how is not None
    assert (how.state, how.attempts, how.line) == ("done", 2, None)
    assert [stage for _, stage in again.ran] == ["train", "measure", "card"]


def test_a_sweep_ends_in_tables(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "process", Played())
    assert run(["sweep", "sweep.yaml", "--no-probe", "-q"]) == 0
    shown = Path("out/sweep.md").read_text()
    assert "8 runs of 8." in shown
    told = json.loads(Path("out/sweep.json").read_text())
    (part,) = told["comparisons"]
    assert [round(group["perplexity_mean"], 2) for group in part["groups"]] == [16.15, 12.15, 16.15, 12.15]
    assert [round(group["perplexity_sd"], 4) for group in part["groups"]] == [0.0707] * 4
    assert part["best"] == {}  # the two of r 8 are the same
    assert "16.15 ± 0.07" in shown
    rows = list(csv.DictReader(io.StringIO(Path("out/sweep.csv").read_text())))
    assert [(row["method.r"], row["training.seed"]) for row in rows][:2] == [("4", "1"), ("4", "2")]
    assert run(["compare", *(str(path / "adapter") for path in sorted(Path("out").glob("lora-*")))]) == 0


def test_some_runs_are_chosen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep, stages = load(), Played()
    outcome, lines = swept(sweep, stages, only=("hira-r4",), most=1)
    assert len(outcome.done) == 1
    assert outcome.done[0].startswith("hira-r4-s1")
    assert lines[0] == f"[1/1] {outcome.done[0]} (about 1 min 0 s left)"
    assert [one.name for one in running.todo(sweep, running.Wanted(index=3))] == [sweep.runs[3].name]
    assert running.todo(sweep, running.Wanted(only=(outcome.done[0],))) == []
    for wrong in (["--only-index", "8"], ["--only", "hora"], ["--only", "lora", "--only-index", "1"]):
        assert run(["sweep", "sweep.yaml", *wrong]) == 2
    assert "no run is named so" in capsys.readouterr().err


def test_other_settings_and_another_text_are_run_anew(here: Path) -> None:
    Path("text.txt").write_text("One.\n\nTwo.")
    Path("base.yaml").write_text(ON_FILE)
    sweep = load()
    swept(sweep, Played())
    assert running.todo(sweep, running.Wanted()) == []
    Path("base.yaml").write_text(
        Path("base.yaml").read_text().replace("throughput: false", "throughput: true")
    )
    assert len(running.todo(load(), running.Wanted())) == 8  # the same runs, to be measured otherwise
    Path("base.yaml").write_text(
        Path("base.yaml").read_text().replace("throughput: true", "throughput: false")
    )
    Path("text.txt").write_text("One.\n\nThree.")
    assert len(running.todo(load(), running.Wanted())) == 8


def test_a_signal_stops_the_sweep_in_order(here: Path) -> None:
    sweep = load()

    class Stopped(Played):
        def __call__(self, directory: Path, words: Sequence[str]) -> int:
            if len(self.ran) == 4:
                raise Signalled(signal.SIGTERM)
            return super().__call__(directory, words)

    with pytest.raises(running.Interrupted) as caught:
        swept(sweep, Stopped())
    assert caught.value.exit_code == 143
    assert "1 of 8 runs done" in caught.value.message
    states = [found.state if (found := local.status(one.directory)) else None for one in sweep.runs]
    assert states == ["done", "stopped", *[None] * 6]


# --- cost --------------------------------------------------------------------------------------------------


def seen(**more: Any) -> cost.Seen:
    return cost.Seen(**{"tokens_per_second": 100.0, "start_seconds": 5.0, "train_tokens": 3200, **more})


def test_the_cost_is_tokens_over_tokens_per_second(here: Path) -> None:
    told = load().runs[0].run.settings
    assert cost.tokens(told, 3200) == 640  # 10 steps of 2 x 32, fewer than 3 epochs
    assert cost.tokens(told, 100) == 300
    longer = msgspec.structs.replace(told, training=msgspec.structs.replace(told.training, max_steps=None))
    assert cost.tokens(longer, 3200) == 9600
    assert cost.tokens(longer, None) is None
    assert cost.expected(told, seen(measure_seconds=7.0)) == pytest.approx(5 + 6.4 + 7)
    assert cost.expected(told, seen(eval_tokens=300.0)) == pytest.approx(5 + 6.4 + 5 + 2)
    assert cost.expected(longer, seen(train_tokens=None)) is None


def test_probes_are_made_once_for_runs_that_are_alike(here: Path) -> None:
    sweep, lines = load(), []

    class Probed(Played):
        def train(self, directory: Path) -> None:
            told, _ = settings.load(directory / "settings.yaml")
            assert (told.training.max_steps, told.training.eval_steps) == (cost.STEPS, None)
            super().train(directory)
            known = record.read(directory / "adapter")
            assert known.training is not None
            known.training.tokens_seen, known.training.seconds = 256, 0.01
            known.dataset = Dataset(name="x", train_tokens=1000, train_words=500, eval_words=50)
            record.write(directory / "adapter", known)

    stages = Probed()
    found = cost.probe(sweep.runs, {}, sweep.output_dir, lines.append, stages)
    assert len(stages.ran) == len(found) == 2  # LoRA and HiRA
    assert {one.tokens_per_second for one in found.values()} == {25_600.0}
    assert {one.eval_tokens for one in found.values()} == {100.0}
    assert cost.known(sweep.runs, sweep.output_dir) == found  # kept
    assert not [path for path in (sweep.output_dir / cost.PROBES).iterdir() if path.is_dir()]
    forecast = cost.forecast(sweep.runs, found)
    assert forecast.unknown == 0
    assert running.told(forecast, 8, at_once=2).startswith("8 runs: about ")
    failing = Played(**{"": "hubkit: no such base. Next: name one"})
    assert cost.probe(sweep.runs, {}, Path("other"), lines.append, failing) == {}
    assert len(failing.ran) == 2
    assert "failed: no such base. Next: name one" in lines[-1]


def test_a_run_that_is_done_tells_more_than_a_probe(here: Path) -> None:
    sweep = load()
    swept(sweep, Played(), most=1)
    known = local.status(sweep.runs[0].directory)
    assert known is not None
    known.seconds = {"train": 100.0, "measure": 20.0, "card": 1.0}
    (sweep.runs[0].directory / local.STATE).write_bytes(msgspec.json.encode(known))
    told = record.read(sweep.runs[0].directory / "adapter").training
    assert told is not None
    (found,) = cost.known(sweep.runs, sweep.output_dir).values()
    assert found.measure_seconds == 21.0
    assert found.tokens_per_second == told.tokens_seen / told.seconds
    assert found.start_seconds == max(100.0 - told.seconds, 0)


def test_a_dry_run_lists_runs_and_cost_and_runs_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "sweep.yaml", "--dry-run", "--no-probe"]) == 0
    told = capsys.readouterr()
    shown = told.out
    assert "Next: leave out --no-probe" in told.err
    assert shown.count("time not known") == 8
    assert "8 runs; how long they take is not known" in shown
    assert not Path("out").exists()
    assert run(["sweep", "sweep.yaml", "--dry-run", "--no-probe", "--json"]) == 0
    assert [one["index"] for one in json.loads(capsys.readouterr().out)["runs"]] == list(range(8))


# --- elsewhere ---------------------------------------------------------------------------------------------


def test_the_script_for_slurm_runs_its_task(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripts.slurm(load(SWEEP + "resources: {num_cpus: 3.5, num_gpus: 1}\n"), 4)
    assert "#SBATCH --array=0-7%4\n" in script
    assert "\n##SBATCH --time=1-00:00:00" in script
    assert "#SBATCH --cpus-per-task=4\n#SBATCH --gpus-per-task=1\n" in script
    faked = here / "bin"
    faked.mkdir()
    (faked / "hubkit").write_text('#!/bin/sh\necho "$@"\n')
    (faked / "hubkit").chmod(0o755)
    monkeypatch.setenv("PATH", f"{faked}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "sweep sweep.yaml --only-index 5\n"
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    assert subprocess.run(["bash", "-c", script], capture_output=True).returncode != 0
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, "-"], input=script, text=True, check=True)


def test_the_commands_for_jobs_are_those_that_hf_takes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from huggingface_hub.cli.hf import app

    monkeypatch.setenv("HF_TOKEN", "hf_secret_value")
    assert run(["sweep", "sweep.yaml", "--print", "hf-jobs", "--namespace", "me"]) == 0
    script = capsys.readouterr().out
    assert "hf_secret_value" not in script
    jobs = [shlex.split(line) for line in script.splitlines() if line.startswith("hf jobs run")]
    assert len(jobs) == 8
    jobs_run: Any = app.get_command(None, "jobs").get_command(None, "run")  # type: ignore[attr-defined, arg-type]
    for words in jobs:
        assert words[1:3] == ["jobs", "run"]
        context = jobs_run.make_context("run", words[3:])
        assert context.params["secrets"] == ["HF_TOKEN"]
        assert context.params["image"] == scripts.IMAGE
        assert list(context.params["command"][:2]) == ["sh", "-c"]
    inside = jobs[0][-1]
    assert "hubkit run-and-publish /run/settings.yaml" in inside
    assert Path(jobs[0][jobs[0].index("--volume") + 1].split(":")[0], "settings.yaml").is_file()
    fetch = [shlex.split(line[4:]) for line in script.splitlines() if line.startswith("#   hf download")]
    assert len(fetch) == 8
    download: Any = app.get_command(None, "download")  # type: ignore[arg-type]
    download.materialize().make_context("download", fetch[0][2:])


def test_jobs_that_would_lack_their_text_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("One.\n\nTwo.")
    Path("base.yaml").write_text(ON_FILE)
    assert run(["sweep", "sweep.yaml", "--print", "hf-jobs"]) == 2
    assert "text.txt, which a job on other machines does not have" in capsys.readouterr().err
    assert run(["sweep", "sweep.yaml", "--print", "slurm", "--dry-run"]) == 2


def test_a_status_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    (tmp_path / local.STATE).write_text("{")
    assert local.status(tmp_path) is None
    assert Combination().values == {}
    assert Record().training is None
    assert Training.__name__ == "Training"
