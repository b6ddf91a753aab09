"""Secrets are found by their shape, and not where there are none."""

from __future__ import annotations

import pytest

from hubkit.secrets import scan

SECRETS = {
    "Hugging Face token": "hf_" + "aB3d" * 9,
    "GitHub token": "ghp_" + "a1B2c3" * 6,
    "AWS access key": "AKIA" + "QZ4TB7NX2LMV5RWC",
    "OpenAI-style key": "sk-proj-" + "Ab1_" * 10,
    "private key": "-----BEGIN RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_with_its_line(kind: str) -> None:
    (found,) = scan("README.md", f"one\ntwo\n  key: {SECRETS[kind]}\n".encode())
    assert (found.path, found.line, found.kind) == ("README.md", 3, kind)


def test_a_finding_does_not_hold_the_secret() -> None:
    (found,) = scan("README.md", SECRETS["GitHub token"].encode())
    assert "ghp_" not in repr(found)


@pytest.mark.parametrize("kind", ["EC ", "OPENSSH ", "", "ENCRYPTED "])
def test_private_keys_of_all_sorts(kind: str) -> None:
    assert scan("x", f"-----BEGIN {kind}PRIVATE KEY-----".encode())


@pytest.mark.parametrize(
    "text",
    [
        "Set HF_TOKEN, or log in with `hf auth login`.",
        "hf_hub_download(repo_id)",
        "a risk-averse, task-specific, desk-bound-and-quite-long-compound-word-without-digits",
        "sk-",
        "-----BEGIN CERTIFICATE-----",
        "AKIA",
        "0123456789abcdef" * 4,
    ],
)
def test_prose_and_digests_are_no_secrets(text: str) -> None:
    assert scan("README.md", text.encode()) == []


def test_several_come_in_the_order_of_their_lines() -> None:
    text = "\n".join([SECRETS["private key"], "", SECRETS["Hugging Face token"]])
    assert [found.line for found in scan("x", text.encode())] == [1, 3]
