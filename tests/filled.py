"""A local Hub with something of everything for the pages to show."""

from __future__ import annotations

import json
import struct
import zlib

from huggingface_hub import CommitOperationAdd, HfApi

TAGS = {
    "lora": ["lora"],
    "qlora": ["lora", "qlora"],
    "sparse-lora": ["lora", "sparse"],
    "hira": ["hira"],
    "ia3": ["ia3"],
}
PEFT = {"lora": "LORA", "qlora": "LORA", "sparse-lora": "LORA", "hira": "HIRA", "ia3": "IA3"}


def card(method, base="org/base", title="An adapter", task="text-generation", extra=""):
    """A card as cards are, with a figure, a table and code."""
    meta = {"license": "apache-2.0", "language": "en", "library_name": "peft", "pipeline_tag": task}
    meta |= {"base_model": base, "base_model_relation": "adapter", "tags": [*TAGS[method], "tiny"]}
    score = {"type": "perplexity", "name": "Perplexity", "value": 12.5}
    dataset = {"type": "org/text", "name": "Text", "split": "test"}
    meta["model-index"] = [
        {"name": "x", "results": [{"task": {"type": task}, "dataset": dataset, "metrics": [score]}]}
    ]
    return f"""---
{json.dumps(meta)}
---
# {title}

A card with [a link](docs/notes.md), a [section](#results) and a badge ![badge](https://example.org/badge.svg).

![The loss over the steps](figures/loss.png)

## Results

| Measure | Value | {" | ".join(f"Column {n}" for n in range(12))} |
| --- | ---: | {" | ".join("---" for _ in range(12))} |
| Perplexity | 12.5 | {" | ".join(str(n) for n in range(12))} |

```python
print("a very long line of code that is wider than a phone is, and that scrolls in its own box", 12345)  # why
```

<details><summary>More</summary>

A_very_long_word_{"x" * 120}

</details>
{extra}"""


def png(width=320, height=120):
    """A picture, made by hand."""
    rows = b"".join(
        b"\0" + b"".join(bytes((x % 256, y % 256, 120)) for x in range(width)) for y in range(height)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def weights():
    """A safetensors file of one tensor."""
    text = json.dumps({"lora_A": {"dtype": "F32", "shape": [8, 100], "data_offsets": [0, 3200]}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(3200)


def commit(api, repo_id, files, title="Add the card", **how):
    """One commit of these files."""
    added = [
        CommitOperationAdd(path, text.encode() if isinstance(text, str) else text)
        for path, text in files.items()
    ]
    return api.create_commit(repo_id, added, commit_message=title, **how)


def adapter(api, repo_id, method, *, private=False, files=None, **about):
    """A repo with an adapter of that method."""
    api.create_repo(repo_id, private=private)
    config = {"peft_type": PEFT[method], "r": 8, "target_modules": ["q", "v"], "task_type": "CAUSAL_LM"}
    return commit(
        api,
        repo_id,
        {"README.md": card(method, **about), "adapter_config.json": json.dumps(config), **(files or {})},
    )


def fill(hub, alice, bob):
    """All of it; alice and bob are their tokens."""
    api, hers, his = (HfApi(endpoint=hub.endpoint, token=token) for token in (hub.token, alice, bob))
    hers.create_repo("alice/base")
    commit(hers, "alice/base", {"README.md": "---\nlicense: mit\n---\n# A base\n"})
    files = {
        "figures/loss.png": png(),
        "docs/notes.md": "[up](../README.md)",
        "adapter_model.safetensors": weights(),
    }
    adapter(hers, "alice/first", "lora", base="alice/base", files=files)
    hers.create_tag("alice/first", tag="v1", revision="main")
    changed = card("lora", base="alice/base", title="A better adapter", extra="\nMore words.\n")
    commit(
        hers,
        "alice/first",
        {"README.md": changed},
        "Say more",
        commit_description=f"In two\nlines {'x' * 90}",
    )
    hers.create_branch("alice/first", branch="dev")
    again = changed.replace("More words.", "Other words.")
    commit(hers, "alice/first", {"README.md": again}, "Change the words", create_pr=True)
    hers.create_discussion("alice/first", title="A question", description="# Why\n\nIs *this* so?")
    hers.comment_discussion("alice/first", 2, comment="# Why\n\nBecause.")
    adapter(hers, "alice/quantised", "qlora", base="alice/base")
    adapter(his, "bob/pruned", "sparse-lora", task="fill-mask")
    adapter(his, "bob/product", "hira")
    adapter(his, "bob/scaled", "ia3")
    his.create_repo("bob/empty")
    adapter(api, "local/secret", "lora", private=True)
    his.create_repo("bob/gated")
    commit(his, "bob/gated", {"README.md": "---\nlicense: mit\n---\n# For some\n"})
    his.update_repo_settings("bob/gated", gated="auto")
    mine = api.create_collection("Small things", namespace="local", description="What fits into a pocket.")
    for repo_id, note in (("alice/first", "Worth a look"), ("local/secret", None), ("bob/pruned", None)):
        api.add_collection_item(mine.slug, item_id=repo_id, item_type="model", note=note)
    for number in range(50):
        api.create_repo(f"local/many-{number:02d}")
