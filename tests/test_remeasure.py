"""Measured again: recorded numbers hold within their tolerances, and one that was changed is found."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny

from hubkit import freshness, record, stages, verifying
from hubkit.cli.main import run as hubkit
from hubkit.measured import Interval, Measures, Parameters, Perplexity, Size
from hubkit.measured_part import Environment
from hubkit.measured_speed import Rate, Rates, Throughput
from hubkit.verify import remeasure
from hubkit.verify.remeasure import DIFFERS, HOLDS, UNCOMPARED, compare

Captured = pytest.CaptureFixture[str]
SHA = "a" * 64
MACHINE = Environment(
    python="3.12.1", platform="Linux x86_64", libraries={"torch": "2.13.0"}, cpu="One", cpu_count=8,
    threads=4, device="cpu", load_average=1.0,
)  # fmt: skip
KIND = "peak allocated on the device"
# What measuring again cannot tell: how long and how busy it was, and how the work was parted.
NO_NUMBER = {
    "seconds", "batch_size", "warmup", "repeats", "sequence_length", "new_tokens", "load_average", "joules",
    "python", "memory_bytes", "adapter_sha256", "processes", "load_peak_kind", "out_of_memory_at",
}  # fmt: skip


def interval(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, resamples=100, seed=3)


def rate(median: float, unit: str = "tokens/s") -> Rate:
    low, high = median * 0.98, median * 1.02
    return Rate(
        median=median,
        low=low,
        high=high,
        unit=unit,
        repeats=10,
        p50_seconds=8 / median,
        p95_seconds=9 / median,
    )


def perplexity(**more: Any) -> Perplexity:
    return Perplexity(
        adapter_sha256=SHA, definition="causal", value=12.0, nll_sum=2484.9, tokens_scored=1000,
        tokens_total=1000, documents=7, documents_kept="apart", context=64, stride=32, batch_size=4,
        dtype="float32", device="cpu", dataset_sha256=SHA, dataset_name="x", tokens_sha256=SHA,
        base_value=14.0, base_nll_sum=2639.1, words=700, bytes=4000, word_perplexity=34.8,
        byte_perplexity=1.861, bits_per_byte=0.896, interval=interval(11.5, 12.5),
        base_interval=interval(13.5, 14.5), change_interval=interval(-0.2, -0.1), peak_memory_bytes=10**9,
        memory_kind=KIND, environment=MACHINE, **more,
    )  # fmt: skip


def whole() -> Measures:
    """Measures with a number in every field that is compared."""
    parameters = Parameters(
        adapter_sha256=SHA, adapter=10, adapter_by_dtype={"float32": 10}, trainable=10, total=110,
        total_by_dtype={"float32": 110}, embedding=40, adapter_nonzero=5, sparsity=0.5,
        sparsity_by_module={"q": 0.5}, counted_on="loaded model",
    )  # fmt: skip
    size = Size(
        adapter_sha256=SHA, adapter_weights_bytes=99, adapter_directory_bytes=120, base_weights_bytes=400,
        base_memory_bytes=500, quantization_constants_bytes=20, adapter_memory_bytes=40, merged_bytes=440,
        merged_dtype="float32", load_peak_bytes=10**9, load_peak_kind=KIND,
    )  # fmt: skip
    rates = Rates(batch_size=1, prefill=rate(500.0), decode=rate(50.0), peak_memory_bytes=10**9)
    throughput = Throughput(
        adapter_sha256=SHA, batch_size=1, sequence_length=64, warmup=3, dtype="float32", device="cpu",
        samples=rate(5.0, "samples/s"), tokens=rate(320.0), prefill=rate(500.0), decode=rate(50.0),
        new_tokens=16, merged=rates, sweep=[msgspec.structs.replace(rates, batch_size=8)],
        peak_memory_bytes=10**9, memory_kind=KIND, environment=MACHINE,
    )  # fmt: skip
    masked = perplexity(mask_probability=0.15, mask_seed=1)
    return Measures(
        parameters=parameters,
        size=size,
        perplexity=masked,
        pseudo_perplexity=perplexity(),
        throughput=throughput,
    )


def numbers_in(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every number in plain data."""
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        if isinstance(value, dict | list):
            yield from numbers_in(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield *path, key


def changed(plain: Any, path: tuple[Any, ...], factor: float) -> Any:
    """A copy with one number changed; whole numbers stay whole, and none stays the same."""
    other = copy.deepcopy(plain)
    below = other
    for key in path[:-1]:
        below = below[key]
    value = below[path[-1]]
    new = type(value)(value * factor)
    below[path[-1]] = new if new != value else type(value)(value + 1)
    return other


def verdicts(recorded: Measures, now: Measures, quantized: bool = False) -> set[str]:
    return {number.verdict for number in compare(recorded, now, quantized=quantized)}


def test_what_is_as_it_was_holds() -> None:
    assert verdicts(whole(), whole()) == {HOLDS}


@pytest.mark.parametrize("factor", [3, 0.3])
def test_every_number_that_was_changed_is_found(factor: float) -> None:
    plain = msgspec.to_builtins(whole())
    missed = [
        path
        for path in numbers_in(plain)
        if not {"environment", *NO_NUMBER} & set(path)
        and DIFFERS not in verdicts(msgspec.convert(changed(plain, path, factor), Measures), whole())
    ]
    assert missed == []


def test_a_perplexity_may_differ_as_kernels_do() -> None:
    def off(by: float, dtype: str, quantized: bool = False) -> set[str]:
        recorded, now = whole(), whole()
        assert recorded.perplexity
        assert now.perplexity
        recorded.perplexity.dtype = now.perplexity.dtype = dtype
        recorded.perplexity.value *= 1 + by
        return verdicts(recorded, now, quantized)

    assert off(0.9e-4, "float32") == off(3e-3, "bfloat16") == off(3e-3, "float32", True) == {HOLDS}
    assert DIFFERS in off(1.1e-4, "float32")
    assert DIFFERS in off(3.3e-3, "float16")  # 0.1 / sqrt(1000 tokens)


def test_rounding_averages_out() -> None:
    def allowed(tokens: int, quantized: bool = False) -> float:
        return remeasure.mean_nll_tolerance(("bfloat16", "bfloat16"), quantized, tokens)

    assert allowed(100) == pytest.approx(1e-2)
    assert allowed(10_000) == allowed(1_000_000) == 1e-3
    assert remeasure.mean_nll_tolerance(("float32", "float32"), True, 100) == allowed(100)
    assert remeasure.mean_nll_tolerance(("float32", "float32"), False, 100) == 1e-4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cpu": "Other"}, "other machine: cpu One then, Other now"),
        ({"threads": 2}, "other machine: threads 4 then, 2 now"),
        ({"libraries": {"torch": "2.14.0"}}, "other versions: torch 2.13.0 then, 2.14.0 now"),
        ({"load_average": 30.0}, "busy machine now: load average 30 on 8 cores"),
    ],
)
def test_speed_is_compared_on_one_quiet_machine(change: dict[str, Any], why: str) -> None:
    recorded, now = whole(), whole()
    assert recorded.throughput
    assert now.throughput
    assert recorded.throughput.decode
    recorded.throughput.decode = rate(recorded.throughput.decode.median * 2)
    assert DIFFERS in verdicts(recorded, now)
    now.throughput.environment = msgspec.structs.replace(MACHINE, **change)
    found = compare(recorded, now, quantized=False)
    speeds = [number for number in found if number.name.startswith("throughput.decode")]
    assert {(number.verdict, number.why) for number in speeds} == {(UNCOMPARED, why)}
    assert remeasure.holds(found)


def test_speed_may_differ_by_both_spreads() -> None:
    recorded, now = whole(), whole()
    assert recorded.throughput
    assert now.throughput
    recorded.throughput.decode = Rate(median=50, low=40, high=60, unit="tokens/s", repeats=10, noisy=True)
    now.throughput.decode = Rate(median=70, low=60, high=72, unit="tokens/s", repeats=10, noisy=True)
    assert verdicts(recorded, now) == {HOLDS}
    now.throughput.decode = Rate(median=90, low=85, high=92, unit="tokens/s", repeats=10)
    assert DIFFERS in verdicts(recorded, now)


def test_a_size_in_another_dtype_is_not_compared() -> None:
    recorded, now = whole(), whole()
    assert now.size
    assert now.parameters
    now.size.base_memory_bytes, now.size.merged_dtype = 250, "bfloat16"
    now.parameters.total_by_dtype = {"bfloat16": 100, "float32": 10}
    assert DIFFERS in verdicts(recorded, now)
    found = compare(recorded, now, quantized=False, loaded="loaded in float32 then, in bfloat16 now")
    assert remeasure.holds(found)
    now.size.base_weights_bytes = now.parameters.total_by_dtype["float32"] = 7
    other = {
        number.name
        for number in compare(recorded, now, quantized=False, loaded="x")
        if number.verdict == DIFFERS
    }
    assert other == {"size.base_weights_bytes", "parameters.total_by_dtype"}


def test_a_rate_in_another_unit_does_not_hold() -> None:
    recorded = whole()
    assert recorded.throughput
    assert recorded.throughput.decode
    recorded.throughput.decode.unit = "samples/s"
    assert DIFFERS in verdicts(recorded, whole())


def test_a_process_may_have_held_more_before() -> None:
    recorded, now = whole(), whole()
    assert recorded.size
    assert now.size
    recorded.size.load_peak_kind = now.size.load_peak_kind = "peak resident memory of the process"
    recorded.size.load_peak_bytes = 3 * 10**9
    assert verdicts(recorded, now) == {HOLDS}
    recorded.size.load_peak_bytes = 7 * 10**8
    assert DIFFERS in verdicts(recorded, now)


def test_a_table_has_a_line_for_every_number() -> None:
    numbers = compare(whole(), whole(), quantized=False)
    lines = remeasure.table(numbers)
    assert len(lines) == 1 + len(numbers)
    assert any("perplexity.value" in line and "1.0e-04 of it" in line for line in lines)


def test_an_edit_of_any_number_is_found_by_the_digest(tmp_path: Path) -> None:
    record.write(tmp_path, freshness.with_measures(record.Record(), whole()))
    assert freshness.edited(tmp_path) == []
    plain = json.loads((tmp_path / record.RECORD_NAME).read_text())
    for path in numbers_in(plain["measures"]):
        other = {**plain, "measures": changed(plain["measures"], path, 1.01)}
        (tmp_path / record.RECORD_NAME).write_text(json.dumps(other))
        assert freshness.edited(tmp_path) == [path[0]], path


def test_a_digest_outlives_other_commands_and_newer_fields(tmp_path: Path) -> None:
    whole_record = freshness.with_measures(record.Record(), whole())
    record.write(
        tmp_path, msgspec.structs.replace(record.read(record.write(tmp_path, whole_record).parent), task="x")
    )
    assert freshness.edited(tmp_path) == []
    edited = record.read(tmp_path)
    assert edited.measures.size
    edited.measures.size.merged_bytes = 1
    timed = msgspec.structs.replace(edited.measures, throughput=None)
    record.write(tmp_path, freshness.with_measures(edited, timed))  # another measure is not made good by it
    assert freshness.edited(tmp_path) == ["size"]
    assert "throughput" not in record.read(tmp_path).measures_sha256


@pytest.fixture(scope="module")
def measured(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny adapter, measured, and the text it was trained and measured on."""
    place = tmp_path_factory.mktemp("measured")
    run = tiny.run("causal-lm", tiny_llama, place, training__max_steps=1)
    stages.train(run, tiny.quiet)
    stages.measure(run, tiny.quiet)
    return place


@pytest.fixture
def place(measured: Path, tmp_path: Path) -> Path:
    shutil.copytree(measured, tmp_path / "copy")
    return tmp_path / "copy"


def verify(place: Path, base: Path, *more: str) -> int:
    adapter = place / "run" / "adapter"
    before = {path.name: path.read_bytes() for path in adapter.iterdir()}
    code = hubkit(["measure", "--adapter", str(adapter), "--verify", "--base-path", str(base), *more])
    assert {path.name: path.read_bytes() for path in adapter.iterdir()} == before
    return code


def edit(place: Path, measure: str, **values: Any) -> None:
    """Change numbers in the record, and take the digests away that would tell of it."""
    file = place / "run" / "adapter" / record.RECORD_NAME
    plain = json.loads(file.read_text())
    plain["measures"][measure] |= values
    plain.pop("measures_sha256")
    file.write_text(json.dumps(plain))


def test_a_true_record_holds(place: Path, tiny_llama: Path, capsys: Captured) -> None:
    text = str(place / "text.txt")
    assert verify(place, tiny_llama, "--text", text, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is True
    by_name = {number["name"]: number["verdict"] for number in told["numbers"]}
    assert by_name["perplexity.value"] == HOLDS
    others = {name for name, verdict in by_name.items() if verdict != HOLDS}
    assert others <= {"perplexity.peak_memory_bytes"}  # where it was scored by other kernels


def test_a_changed_number_does_not_hold(place: Path, tiny_llama: Path, capsys: Captured) -> None:
    found = record.read(place / "run" / "adapter").measures.perplexity
    assert found is not None
    edit(place, "perplexity", value=found.value * 0.99)
    assert verify(place, tiny_llama, "--text", str(place / "text.txt"), "-q") == 1
    said = capsys.readouterr()
    assert "recorded numbers do not hold: perplexity.value. Next: take them anew" in said.err
    assert said.out == ""


def test_what_is_left_out_changes_no_condition(place: Path, tiny_llama: Path) -> None:
    adapter, text = str(place / "run" / "adapter"), str(place / "text.txt")
    given = ["--adapter", adapter, "--base-path", str(tiny_llama), "--precision", "bfloat16", "-q"]
    assert hubkit(["measure", *given, "--text", text, "--no-throughput"]) == 0
    assert verify(place, tiny_llama, "--no-perplexity", "-q") == 0


def test_bits_are_those_of_the_record(place: Path, tiny_llama: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, place)
    bits = {"load_in_4bit": True}
    known = record.Record(base_model=record.BaseModel(id="a/b", quantization=bits))
    assert verifying._bits(run, known) == bits
    known.base_model = record.BaseModel(id="a/b", quantization={"quant_method": "gptq"})
    assert verifying._bits(run, known) is None


def test_another_base_than_the_adapters_does_not_hold(
    place: Path, tiny_llama: Path, capsys: Captured
) -> None:
    file = place / "run" / "adapter" / record.RECORD_NAME
    plain = json.loads(file.read_text())
    plain["base_model"]["id"] = "great/Other-7B"
    plain["measures"]["perplexity"]["environment"]["threads"] = -1  # which is no fault of hubkit's
    file.write_text(json.dumps(plain))
    assert verify(place, tiny_llama, "--text", str(place / "text.txt"), "-q") == 1
    assert "do not hold: base_model.id" in capsys.readouterr().err


def test_another_text_cannot_hold(place: Path, tiny_llama: Path, capsys: Captured) -> None:
    other = place / "other.txt"
    other.write_text("\n\n".join(tiny.text(5, seed=9)))
    assert verify(place, tiny_llama, "--text", str(other)) == 1
    said = capsys.readouterr()
    assert "another text: perplexity was not measured again" in said.out
    assert "do not hold: perplexity.dataset_sha256" in said.err


def test_what_is_not_at_hand_is_said(place: Path, tiny_llama: Path, tmp_path: Path, capsys: Captured) -> None:
    assert verify(place, tiny_llama) == 2
    assert "made-up English, is not at hand; the rest holds. Next: --text FILE" in capsys.readouterr().err
    assert verify(place, tiny_llama, "--no-perplexity") == 0
    other = tiny.llama(tmp_path / "other", tied=False)
    assert verify(place, other) == 2
    assert "was trained on weights of tiny-org/tiny-llama with digest" in capsys.readouterr().err
    assert verify(place, tiny_llama, "--context", "16") == 2
    assert "--context asks for others" in capsys.readouterr().err


def test_measures_of_another_adapter_do_not_hold(place: Path, tiny_llama: Path, capsys: Captured) -> None:
    for name in ("parameters", "size", "perplexity"):
        edit(place, name, adapter_sha256=SHA) if name == "parameters" else _stale(place, name)
    assert verify(place, tiny_llama) == 1
    assert "parameters.adapter_sha256, size.adapter_sha256" in capsys.readouterr().err


def _stale(place: Path, name: str) -> None:
    file = place / "run" / "adapter" / record.RECORD_NAME
    plain = json.loads(file.read_text())
    plain["measures"][name]["adapter_sha256"] = SHA
    file.write_text(json.dumps(plain))


def test_a_total_that_was_counted_in_files_is_counted_again(
    place: Path, tiny_llama: Path, tmp_path: Path, capsys: Captured
) -> None:
    adapter_dir = place / "run" / "adapter"
    (adapter_dir / record.RECORD_NAME).unlink()
    assert hubkit(["measure", "--adapter", str(stages.count(adapter_dir)), "--verify"]) == 0
    config = str(tiny_llama / "config.json")
    assert hubkit(["card", "--adapter", str(adapter_dir), "--base-config", config, "--no-figures", "-q"]) == 0
    capsys.readouterr()
    assert verify(place, tiny_llama) == 0
    assert "parameters.total" in capsys.readouterr().out
    assert verify(place, tmp_path / "none") == 2
    assert "parameters.total was not verified: it takes the base's files" in capsys.readouterr().err
    edit(place, "parameters", total=7)
    assert verify(place, tiny_llama) == 1


def test_a_record_without_measures_cannot_be_verified(
    place: Path, tiny_llama: Path, capsys: Captured
) -> None:
    (place / "run" / "adapter" / record.RECORD_NAME).unlink()
    assert verify(place, tiny_llama) == 2
    assert "holds no measures to verify. Next: take them: hubkit measure" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_no_number_can_be_changed_unnoticed(
    task: str, tiny_llama: Path, tiny_bert: Path, tmp_path: Path, capsys: Captured
) -> None:
    """Each number changed by hand, and measured again: the digests that would tell are taken away."""
    base = tiny_llama if task == "causal-lm" else tiny_bert
    run = tiny.run(task, base, tmp_path, training__max_steps=1)
    stages.train(run, tiny.quiet)
    stages.measure(run, tiny.quiet)
    file, text = run.adapter_dir / record.RECORD_NAME, str(tmp_path / "text.txt")
    plain = json.loads(file.read_text())
    plain.pop("measures_sha256")
    file.write_text(json.dumps(plain))
    assert verify(tmp_path, base, "--text", text, "-q") == 0
    missed = []
    for path in numbers_in(plain["measures"]):
        if {"environment", *NO_NUMBER} & set(path) or path[-1] in ("load_peak_bytes", "peak_memory_bytes"):
            continue
        file.write_text(json.dumps({**plain, "measures": changed(plain["measures"], path, 2)}))
        if verify(tmp_path, base, "--text", text, "-q") != 1:
            missed.append((path, capsys.readouterr().err))
    assert missed == []
