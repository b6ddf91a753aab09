"""lm-evaluation-harness: `HFLM.loglikelihood_rolling` over the text as one document.

It attaches the adapter by PEFT itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from peers import Answer, Work


def prepare(work: Work) -> Callable[[], Answer]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=work.base,
        peft=work.adapter,
        dtype=work.dtype,
        batch_size=work.batch,
        max_length=work.context,
        device="cpu",
    )
    text = work.words()
    request = Instance("loglikelihood_rolling", {}, (text,), 0)

    def evaluate() -> Answer:
        (likelihood,) = model.loglikelihood_rolling([request], disable_tqdm=True)
        tokens = len(model.tok_encode(text))
        return Answer(math.exp(-likelihood / tokens), tokens, {"nll": -likelihood})

    return evaluate
