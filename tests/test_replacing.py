"""Training into a directory that holds an adapter: none is lost that was not meant to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiny

from hubkit import adapter, record, stages
from hubkit.errors import HubkitError, SettingsError


def made(base: Path, directory: Path, **changes: Any) -> Any:
    return tiny.run("causal-lm", base, directory, **{"training__max_steps": 1, **changes})


@pytest.mark.real
def test_an_adapter_of_other_settings_is_not_replaced(tiny_llama: Path, tmp_path: Path) -> None:
    first = stages.train(made(tiny_llama, tmp_path, card={"title": "One", "tags": ["a"]}), tiny.quiet)
    before = (first / adapter.WEIGHTS_NAME).read_bytes()
    other = made(tiny_llama, tmp_path, training__max_steps=2, card={"title": "Two"})
    for go in (stages.train, lambda run, _: stages.forecast(run)):
        with pytest.raises(SettingsError, match="not trained with these settings") as caught:
            go(other, tiny.quiet)
        assert "another output_dir" in (caught.value.hint or "")
        assert "--fresh" in (caught.value.hint or "")
    assert (first / adapter.WEIGHTS_NAME).read_bytes() == before
    assert stages.forecast(other, fresh=True)
    pushed = record.Pushed(cards=["0" * 64])
    record.write(first, msgspec.structs.replace(record.read(first), pushed=pushed))
    stages.train(other, tiny.quiet, fresh=True)
    known = record.read(first)
    assert known.pushed == pushed  # the next push still knows what came before
    assert known.training is not None
    assert known.training.steps == 2
    assert (known.author.title, known.author.tags) == ("Two", ["a"])


@pytest.mark.real
def test_weights_without_a_record_are_not_replaced(tiny_llama: Path, tmp_path: Path) -> None:
    run = made(tiny_llama, tmp_path)
    (stages.train(run, tiny.quiet) / record.RECORD_NAME).unlink()
    with pytest.raises(SettingsError, match="not trained with these settings"):
        stages.train(run, tiny.quiet)
    stages.train(run, tiny.quiet, fresh=True)


@pytest.mark.real
def test_what_a_failure_left_of_the_same_training_is_gone_on_with(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise HubkitError("cannot write the record")

    stages.train(made(tiny_llama, tmp_path), tiny.quiet)
    other = made(tiny_llama, tmp_path, training__max_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(record, "write", fail)
        with pytest.raises(HubkitError, match="cannot write"):
            stages.train(other, tiny.quiet, fresh=True)
    facts = record.read(stages.train(other, tiny.quiet)).training
    assert facts is not None
    assert facts.steps == 2


@pytest.mark.real
def test_training_anew_that_was_stopped_is_gone_on_with(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though an adapter of the same settings lies there: it is the one to be made anew."""
    import signal

    from hubkit.errors import Interrupted
    from hubkit.training.guard import Guard

    run = made(tiny_llama, tmp_path, training__max_steps=3)
    stages.train(run, tiny.quiet)
    end = Guard.on_step_end

    def stop(self: Guard, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 2:
            self.stopped_by = signal.SIGINT
        end(self, args, state, control, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(Guard, "on_step_end", stop)
        with pytest.raises(Interrupted) as caught:
            stages.train(run, tiny.quiet, fresh=True)
    assert "without --fresh" in (caught.value.hint or "")
    assert stages.forecast(run)
    said: list[str] = []
    stages.train(run, said.append)
    assert said[0].startswith("going on from")
    assert stages.train(run, said.append)
    assert said[-1].startswith("trained already")
