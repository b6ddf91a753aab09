"""A model trained on conversations: the loss is of the answers, and the record tells how they were read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from test_chat import rows

from hubkit import record, runs, stages
from hubkit.models import chat, corpus, loading, packing, prepared

TEMPLATE = (  # so short that two conversations share a block
    "{% for m in messages %}{{ m['role'][0] + ':' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'a:' }}{% endif %}"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("chat")
    template = directory / "template.jinja"
    template.write_text(TEMPLATE)
    run = tiny.run(
        "causal-lm",
        tiny.llama(directory / "base"),
        directory,
        dataset={
            "files": [str(rows(directory / "t.jsonl"))],
            "messages_column": "talk",
            "chat_template": str(template),
            "system": "Count.",
            "cache": False,
        },
        training={"max_steps": 1, "block_size": 128, "batch_size": 64, "learning_rate": 1e-9},
    )
    said: list[str] = []
    return run, stages.train(run, said.append), said


def test_the_loss_is_that_of_the_answers(trained: Any) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    run, directory, said = trained
    known = record.read(directory)
    loaded = loading.load_base(run.settings.base, run.task, dtype="float32")
    text = corpus.load(run.settings.data, 42)
    chat.adopt(loaded.tokenizer, text.chat_template)
    losses, answers = [], 0
    with torch.no_grad():
        for one in chat.encode(loaded.tokenizer, text.train):
            logits = loaded.model(torch.tensor([one.ids])).logits[0, :-1]
            losses.append(cross_entropy(logits, torch.tensor(one.labels[1:]), reduction="sum"))
            answers += sum(label != chat.NOT_COUNTED for label in one.labels)
    assert known.dataset is not None
    assert known.training is not None
    assert known.dataset.answer_tokens == answers
    assert known.training.history[0].loss == pytest.approx(float(sum(losses)) / answers, rel=1e-5)
    assert known.training.documents == "apart"
    made = prepared.prepare(loaded.tokenizer, text, 128)
    assert max(int((row[row != packing.FILL]).max()) for row in made.segments) > 0  # some share a block
    assert known.training.tokens_seen == known.dataset.train_tokens < made.made.blocks * 128
    assert any(f"({answers:,} of {known.dataset.train_tokens:,} are of answers)" in line for line in said)


def test_the_record_tells_how_to_read_it_again(trained: Any) -> None:
    run, directory, _ = trained
    assert (directory / "chat_template.jinja").read_text() == TEMPLATE
    files = tuple(run.settings.data.files)
    again = runs.of_adapter(directory, runs.Told(files=files, base_path=run.settings.base.path), [])
    data = again.settings.data
    assert data is not None
    assert (data.messages_column, data.system) == ("talk", "Count.")
    assert data.chat_template == str(directory / "chat_template.jinja")
    config = json.loads((directory / "tokenizer_config.json").read_text())
    assert "chat_template" not in config


def test_training_with_another_template_is_another_training(trained: Any, tmp_path: Path) -> None:
    run, directory, _ = trained
    sha256 = record.read(directory).dataset.train_sha256  # type: ignore[union-attr]
    before = runs.training_sha256(run, sha256)
    Path(run.settings.data.chat_template).write_text(TEMPLATE + " ")
    assert runs.training_sha256(run, sha256) != before
    Path(run.settings.data.chat_template).write_text(TEMPLATE)
