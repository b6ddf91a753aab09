"""Tokenizers of five kinds, trained here on made-up text: they cut text, and joined texts, differently."""

from __future__ import annotations

from typing import Any

import tiny
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PUNCTUATION_WITH_LINES = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)| ?\p{L}+|\p{N}|\s+"
TEXT = [*tiny.text(20), "Straße, naïve café; 東京 and 😀!\n\nA second line.\n"]


def _fast(made: Tokenizer, **special: str) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def gpt2() -> Any:
    """Bytes, words after a blank; a paragraph's end is two tokens of their own."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return _trained_bpe(made, "<|endoftext|>")


def qwen() -> Any:
    """Bytes, and a full stop takes the line ends after it into its token, as Qwen's and Llama 3's do."""
    made = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PUNCTUATION_WITH_LINES), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    return _trained_bpe(made, "<|endoftext|>")


def _trained_bpe(made: Tokenizer, end: str) -> Any:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=[end], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["\n\n".join(TEXT)], trainer)
    return _fast(made, eos_token=end)


def llama2() -> Any:
    """One word without end, a mark put before whatever is handed over, bytes for what is unknown."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Split(Regex("▁[^▁]*"), "isolated")  # for the training alone
    bytes_ = [f"<0x{at:02X}>" for at in range(256)]
    special = ["<unk>", "<s>", "</s>", *bytes_]
    trainer = trainers.BpeTrainer(vocab_size=460, special_tokens=special, show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    made.pre_tokenizer = None
    return _fast(made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def unigram() -> Any:
    """The likeliest cut of a text (T5's, XLM-R's), after NFKC."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return _fast(made, eos_token="</s>", unk_token="<unk>")


def bert() -> Any:
    """Pieces of words, without blanks and lines."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    made = BertWordPieceTokenizer()
    made.train_from_iterator(TEXT, vocab_size=200, min_frequency=1, show_progress=False)
    return BertTokenizerFast(vocab=made.get_vocab())


KINDS = {"gpt2": gpt2, "qwen": qwen, "llama2": llama2, "unigram": unigram, "bert": bert}
