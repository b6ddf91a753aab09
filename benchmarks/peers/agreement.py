"""The same texts by hubkit and by lm_eval, in float32: `python -m peers.agreement WORKS`, a list in JSON.

Prints a list: for each work both perplexities, both sums of log-likelihoods, and how far those are apart.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from peers import Work, hubkit_itself, lm_eval_rolling


def compared(work: Work) -> dict[str, Any]:
    """Both answers for one work."""
    ours = hubkit_itself.prepare(replace(work, peer="hubkit_itself"))()
    theirs = lm_eval_rolling.prepare(replace(work, peer="lm_eval_rolling"))()
    apart = abs(ours.more["nll"] - theirs.more["nll"]) / theirs.more["nll"]
    return {
        "text": Path(work.text).stem,
        "tokens": [ours.scored, theirs.scored],
        "perplexity": [ours.perplexity, theirs.perplexity],
        "nll": [ours.more["nll"], theirs.more["nll"]],
        "relative_difference": apart,
    }


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(json.dumps([compared(Work(**work)) for work in json.loads(sys.argv[1])]))
