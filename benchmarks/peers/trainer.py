"""transformers' `Trainer.evaluate` on packed blocks, batches of 8, with the masks that hubkit draws.

The Trainer weighs its batches alike, whatever the number of hidden tokens in them, and its loss
differs a little for that.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable

from peers import Answer, Work, adapted


def prepare(work: Work) -> Callable[[], Answer]:
    from transformers import Trainer, TrainingArguments, default_data_collator

    from hubkit.measures import windows

    model, tokenizer = adapted(work, "AutoModelForMaskedLM")
    streams = windows.streams(tokenizer, [work.words()], "packed")
    cut = windows.masked_windows(streams, tokenizer, work.context, work.probability, work.seed)
    blocks = [{"input_ids": window.inputs.tolist(), "labels": window.targets.tolist()} for window in cut]
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_eval_batch_size=work.batch,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        prediction_loss_only=True,
        label_names=["labels"],
    )
    trainer = Trainer(model=model, args=arguments, eval_dataset=blocks, data_collator=default_data_collator)

    def evaluate() -> Answer:
        loss = trainer.evaluate()["eval_loss"]
        return Answer(math.exp(loss), sum(int((window.targets != -100).sum()) for window in cut))

    return evaluate
