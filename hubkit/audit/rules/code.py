"""HK317 to HK319: does the Python in a card parse, run with today's libraries, and run no code unsaid?"""

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
