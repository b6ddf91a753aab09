"""HK316 to HK319: does a card's Python import what it uses, parse, run today, and run no code unsaid?"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from hubkit.audit import snippets
from hubkit.audit.findings import Fault
from hubkit.audit.parts import Fence
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

_NO_PYTHON = re.compile(
    r"^\s*(?:\$ |pip3? |git |cd |conda |hf |huggingface-cli |python3? |curl |wget |export |apt(?:-get)? "
    r"|docker |accelerate |torchrun |"
    r"vllm |ollama |uv |[├└│])|<\|im_(?:start|end)\|>|\[/?INST\]|<start_of_turn>|^\s*Traceback \(most recent",
    re.MULTILINE,
)
_FRAGMENT = re.compile(
    r"…|<[A-Za-z][^<>=]*>|\{\{|^\s*\.\.\.\s*[,)\]}]|[,(\[]\s*\.\.\.\s*$|\.\.\.\s+\S|\[\.\.\.\]"
)
_REFUSED = {
    "load_in_4bit": "quantization_config=BitsAndBytesConfig(load_in_4bit=True)",
    "load_in_8bit": "quantization_config=BitsAndBytesConfig(load_in_8bit=True)",
    "use_auth_token": "token=...",
    "use_flash_attention_2": 'attn_implementation="flash_attention_2"',
}


@rule("HK317", "error", title="Python that does not parse")
def syntax(subject: Subject) -> Iterator[Fault]:
    """A block that is marked as Python must be Python. Prompts, notebook commands, indentation and fragments
    are fine; a block of another language should name it.

    Bad:

        ```python
        model = PeftModel.from_pretrained(base "ada/smollm2-pydoc-lora")
        ```

    Good:

        ```python
        model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
        ```
    """
    for fence in subject.document.fences:
        if fence.language not in snippets.PYTHON or not fence.closed:
            continue
        error = snippets.tree(fence.code)
        if not isinstance(error, SyntaxError) or _may_be_read_otherwise(fence, error):
            continue
        line = fence.line + max(1, min(error.lineno or 1, len(fence.code.split("\n")))) - 1
        yield found(
            line,
            f"This is no Python: {error.msg}.",
            says=subject.document.line(line).strip()[:120],
            mend="mend the code, or name the block's language",
        )


def _may_be_read_otherwise(fence: Fence, error: SyntaxError) -> bool:
    """Whether a block that does not parse is a fragment, a shell session, or something in a wrong fence."""
    code = snippets.cleaned(fence.code)
    lines = code.split("\n")
    at = lines[error.lineno - 1] if error.lineno and 0 < error.lineno <= len(lines) else ""
    if _NO_PYTHON.search(fence.code) or _FRAGMENT.search(at) or _FRAGMENT.search(fence.code):
        return True
    if str(error.msg).startswith(("expected an indented block", "unexpected EOF")):
        return True
    rest = lines[0].strip() + "\n" + textwrap.dedent("\n".join(lines[1:]))
    body = textwrap.indent(code, "    ")
    others = (
        rest,
        f"async def f():\n{body}",
        f"f(\n{code}\n)",
        f"x = {{\n{code}\n}}",
        f"if x:\n    pass\n{code}",
        f"try:\n    pass\n{code}",
    )
    return any(not isinstance(snippets.tree(other), SyntaxError) for other in others)


_PEFTS = re.compile(r"(?:Auto)?Peft(?:Model|Config)\w*|\w*LoraConfig|get_peft_model")
_TRANSFORMERS = re.compile(
    r"Auto(?:Model|Tokenizer|Processor|Config)(?:For\w+)?|BitsAndBytesConfig|TrainingArguments"
)


@rule("HK316", "error", title="A class that the code does not import")
def imports(subject: Subject) -> Iterator[Fault]:
    """A snippet that imports one class and uses another stops with a NameError; one that imports a class from
    a package without it, with an ImportError. A block that imports nothing is read as part of
    something longer.

    Bad:

        ```python
        from peft import PeftModel
        from transformers import AutoModelForMaskedLM

        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        ```

    Good:

        ```python
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
        ```
    """
    known = snippets.imported(subject.document)
    for name, (package, line) in known.items():
        right = (
            "peft" if _PEFTS.fullmatch(name) else "transformers" if _TRANSFORMERS.fullmatch(name) else None
        )
        if package in ("peft", "transformers") and right and package != right:
            yield found(
                line, f"{package} has no {name}.", says=package, instead=right, mend=f"import it from {right}"
            )
    if "*" in known:
        return
    for call in snippets.all_calls(subject.document):
        owner = call.name.partition(".")[0]
        right = (
            "peft" if _PEFTS.fullmatch(owner) else "transformers" if _TRANSFORMERS.fullmatch(owner) else None
        )
        here = call.fence and re.search(rf"^\s*from {right} import ", call.fence.code, re.MULTILINE)
        if right and here and owner not in known and not _defines(subject, owner):
            yield found(
                call.line,
                f"{owner} is used and never imported.",
                says=owner,
                mend=f"from {right} import {owner}",
            )


def _defines(subject: Subject, name: str) -> bool:
    """Whether the code itself makes something of this name."""
    return any(
        re.search(rf"\b(?:class|def) {name}\b|^\s*{name}\s*=", f.code, re.MULTILINE)
        for f in subject.document.fences
    )


@rule("HK318", "warning", title="Code of the base's repo run without a word")
def remote_code(subject: Subject) -> Iterator[Fault]:
    """`trust_remote_code=True` runs code that its author can change at any time. The text must say so.

    Bad:

        ```python
        base = AutoModelForCausalLM.from_pretrained("org/base", trust_remote_code=True)
        ```

    Good:

        `trust_remote_code=True` runs Python code from the base's repo: read it first.

        ```python
        base = AutoModelForCausalLM.from_pretrained("org/base", trust_remote_code=True)
        ```
    """
    text = "\n".join(said for _, said in subject.document.prose)
    comments = "\n".join(re.findall(r"#.*", "\n".join(fence.code for fence in subject.document.fences)))
    if re.search(
        r"trust_remote_code|remote code|custom code|runs? (?:python )?code|arbitrary code",
        text + comments,
        re.IGNORECASE,
    ):
        return
    for call in snippets.all_calls(subject.document):
        given = call.keywords.get("trust_remote_code")
        if given and snippets.constant(given[0]) is True and not re.search("Tokenizer|Processor", call.name):
            yield found(
                given[1],
                "trust_remote_code=True runs code of the base's repo, and the text does not say so.",
                says="trust_remote_code=True",
                mend="say it above the snippet, or leave it out where the base needs none",
            )
            return


@rule("HK319", "warning", title="An argument that current libraries refuse")
def refused(subject: Subject) -> Iterator[Fault]:
    """transformers 5 raises a TypeError for arguments of `from_pretrained` that older releases took.

    Bad:

        ```python
        base = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct", load_in_4bit=True)
        ```

    Good:

        ```python
        quantization = BitsAndBytesConfig(load_in_4bit=True)
        base = AutoModelForCausalLM.from_pretrained(
            "HuggingFaceTB/SmolLM2-135M-Instruct", quantization_config=quantization
        )
        ```
    """
    for call in snippets.all_calls(subject.document):
        owner, _, method = call.name.rpartition(".")
        if method != "from_pretrained" or not re.search(
            r"(?:^|\.)Auto(?:Peft)?Model|For[A-Z]\w+$|LMHeadModel$", owner
        ):
            continue
        for name, (_, line) in call.keywords.items():
            if name in _REFUSED:
                yield found(
                    line,
                    f"transformers 5 refuses {name}.",
                    says=name,
                    instead=_REFUSED[name],
                    mend=f"write {_REFUSED[name]}",
                )
