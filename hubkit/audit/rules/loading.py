"""HK311 to HK315: can a reader load this adapter with the card's snippet, and does it say all it must?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import loaders, rewritten, snippets, statements, truths
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.hub_rules import is_repo_id

_OTHER_LOADERS = re.compile(
    r"lora[-_]modules|--lora\b|--adapter|adapters?[-_]path|ollama|vllm|llama\.cpp|llama-cli|mlx_lm|lorax"
    r"|llamafactory|swift infer|"
    r"text-generation-inference|FastLanguageModel|FastModel|LoRARequest|diffusers|load_lora",
    re.IGNORECASE,
)
_QUANTIZES = re.compile(
    r"quantization_config|load_in_[48]bit|BitsAndBytesConfig|FastLanguageModel|FastModel|FastVisionModel"
    r"|bnb[-_]4bit"
)
_QLORA = re.compile(r"\bQ-?LoRA\b|\b4[- ]?bits?\b|\bNF4\b", re.IGNORECASE)


@rule("HK311", "warning", title="No snippet that loads the adapter")
def no_snippet(subject: Subject) -> Iterator[Fault]:
    """A reader needs the lines that load the base and the adapter.

    Bad:

        # An adapter

        It was trained on help texts.

    Good:

        # An adapter

        ```python
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    document = subject.document
    code = "\n".join([*(fence.code for fence in document.fences), *(text for _, text in document.prose)])
    if not snippets.loads_a_model(code) and not _OTHER_LOADERS.search(code):
        yield found(
            None,
            "No snippet loads the adapter.",
            mend="hubkit card writes one, for the adapter's task and method",
            severity=None if subject.facts and subject.facts.task else rewritten.lack(subject),
        )


@rule("HK312", "error", title="A snippet that loads the adapter from a path or a placeholder")
def local_path(subject: Subject) -> Iterator[Fault]:
    """The reader does not have the author's folders: a snippet must name the repo.

    Bad:

        ```python
        model = PeftModel.from_pretrained(base, "path/to/adapter")
        ```

    Good:

        ```python
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    for load in loaders.adapter_loads(subject.document):
        name = load.named
        if name is None or statements.about_others(subject.document, load.line):
            continue
        if name == subject.repo_id:  # of a local Hub, its user's name is as a folder's
            continue
        if loaders.is_placeholder(name):
            what = "is no repo, but a placeholder"
        elif loaders.is_local(name) or ("/" not in name and not _said_to_be_a_folder(subject, name)):
            what = "is a path, and no repo"
        else:
            continue
        right = subject.repo_id or "the id of the repo, as user/name"
        yield found(load.line, f"{name!r} {what}.", says=name, instead=subject.repo_id, mend=f"write {right}")
    for load in loaders.unfilled_loads(subject.document):
        if statements.about_others(subject.document, load.line):
            continue
        right = subject.repo_id or "the id of the repo, as user/name"
        yield found(
            load.line,
            f"{load.named!r} is no repo, but a placeholder.",
            says=load.named, instead=subject.repo_id, mend=f"write {right}",
        )  # fmt: skip


def _said_to_be_a_folder(subject: Subject, name: str) -> bool:
    """Whether the text tells the reader that this is a folder that they have."""
    return any(
        span.text == name and re.search(r"\bfolder|director(?:y|ies)\b", subject.document.line(span.line))
        for span in subject.document.code_spans
    )


@rule("HK313", "error", title="A snippet that loads another repo, or none")
def other_repo(subject: Subject) -> Iterator[Fault]:
    """The snippet must load this repo's adapter, and not another's, the base in its place, or `None`.

    Bad:

        ```python
        model = PeftModel.from_pretrained(base, "HuggingFaceTB/SmolLM2-135M-Instruct")
        ```

    Good:

        ```python
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    bases = truths.base_names(subject)
    for load in loaders.adapter_loads(subject.document):
        name = load.named
        if load.is_none or name in ("None", ""):
            yield _no_model(load.line, subject)
        elif (
            name is None
            or not is_repo_id(name, namespace=True)
            or loaders.is_local(name)
            or loaders.is_placeholder(name)
        ):
            continue
        elif name in bases and name != subject.repo_id:
            yield found(
                load.line, f"{name} is the base, not the adapter.", says=name, instead=subject.repo_id
            )
        elif _is_another(subject, name) and not statements.about_others(subject.document, load.line):
            yield found(
                load.line,
                f"{name} is another repo than this card's.",
                says=name,
                instead=subject.repo_id,
                mend=f"write {subject.repo_id}",
            )
    yield from _nothing_named(subject)


def _is_another(subject: Subject, name: str) -> bool:
    """Whether a repo is another than the card's own, as far as that is known."""
    own = subject.repo_id
    return bool(own and "/" in own and name.lower() != own.lower())


def _nothing_named(subject: Subject) -> Iterator[Fault]:
    """`pipeline("text-generation", model="None")`, as TRL writes it where it does not know the repo."""
    known = snippets.names(subject.document)
    for call in snippets.all_calls(subject.document):
        node = call.keywords.get("model", (None, 0))[0]
        if call.name.rpartition(".")[2] != "pipeline" or node is None:
            continue
        if snippets.constant(node, known) in ("None", ""):
            yield _no_model(call.line, subject)
    for call in loaders.base_loads(subject.document):
        if loaders.model_named(call, known) in ("None", ""):
            yield _no_model(call.line, subject)


def _no_model(line: int, subject: Subject) -> Fault:
    return found(
        line, "The snippet loads None.", says="None", instead=subject.repo_id, mend="write the id of the repo"
    )


@rule("HK314", "error", title="A snippet that loads another base")
def other_base(subject: Subject) -> Iterator[Fault]:
    """The adapter's weights fit the base that they were trained on, and no other.

    Bad:

        ```python
        base = AutoModelForCausalLM.from_pretrained("example-org/another-base-7b")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```

    Good:

        ```python
        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    names = truths.base_names(subject)
    hub_ids = sorted(
        name for name in names if is_repo_id(name, namespace=True) and not loaders.is_local(name)
    )
    known = snippets.names(subject.document)
    stated: dict[str, int] = {}
    for call in loaders.base_loads(subject.document):
        name = loaders.model_named(call, known)
        if name and not statements.about_others(subject.document, call.line):
            stated.setdefault(name, call.line)
    if not hub_ids or len(stated) != 1 or not any(True for _ in loaders.adapter_loads(subject.document)):
        return
    name, line = stated.popitem()
    own = subject.repo_id and name.lower() == subject.repo_id.lower()
    adapters = {load.named for load in loaders.adapter_loads(subject.document)}
    if (
        own
        or name in adapters
        or not is_repo_id(name)
        or loaders.is_local(name)
        or loaders.is_placeholder(name)
    ):
        return
    slip = name not in hub_ids and any(truths.misspelt(name, one) for one in hub_ids)
    another = not any(truths.same_model(name, one) for one in names)
    if slip or (another and not re.search(r"merged|lora|adapter", name, re.IGNORECASE)):
        yield found(
            line,
            f"The adapter was made for {hub_ids[0]}.",
            says=name,
            instead=hub_ids[0],
            mend=f"write {hub_ids[0]}",
        )


@rule("HK315", "warning", title="A 4-bit adapter, and a snippet that loads the base whole")
def unquantized_snippet(subject: Subject) -> Iterator[Fault]:
    """An adapter that was trained on a 4-bit base gives its results on that base. The snippet must load it
    so, or the card must show both.

    Bad:

        # A QLoRA adapter

        ```python
        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```

    Good:

        # A QLoRA adapter

        ```python
        quantization = BitsAndBytesConfig(load_in_4bit=True)
        base = AutoModelForCausalLM.from_pretrained(
            "HuggingFaceTB/SmolLM2-135M-Instruct", quantization_config=quantization
        )
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    if not _is_four_bit(subject) or any(_QUANTIZES.search(fence.code) for fence in subject.document.fences):
        return
    if "quant_method" in (subject.quantization or {}) and "load_in_4bit" not in (subject.quantization or {}):
        return  # the base is published so, and loads so
    if any(re.search(r"4bit|int4|nf4|gptq|awq", name, re.IGNORECASE) for name in truths.base_names(subject)):
        return
    for call in loaders.base_loads(subject.document):
        if not statements.about_others(subject.document, call.line):
            mend = "pass quantization_config=BitsAndBytesConfig(load_in_4bit=True, ...)"
            if subject.document.in_region(call.line):  # hubkit does not know what the author says
                mend = "put its settings into quantization_config.json beside the adapter, then hubkit card"
            yield found(
                call.line,
                "The adapter was trained on a 4-bit base, and the snippet loads it in full.",
                instead="4-bit weights", mend=mend,
            )  # fmt: skip
            return


def _is_four_bit(subject: Subject) -> bool:
    """Whether an artifact says that the base was in 4 bits, or the card does where it names its method."""
    if subject.quantization:
        return truths.bits(subject.quantization) == 4
    if subject.record and subject.record.training:
        return False  # it knows how the base was loaded
    stated = [s.value for s in statements.read(subject.document) if s.key in ("quantization", "method")]
    stated += [heading.text for heading in subject.document.headings[:1]]
    return any(
        _QLORA.search(text) and not re.search(r"gguf|not|without|\bvs\b", text, re.IGNORECASE)
        for text in stated
    )
