"""What decoders are made of, by their configuration: Llama and its kin, GPT-2, GPT-NeoX, Phi, and T5.

The shapes are those of transformers' classes, and a test holds each against its class. `kind`
is as in encoders.py.
"""

from __future__ import annotations

import msgspec

from hubkit.counting.shapes import Config, NotExact, Shapes


class Llama(msgspec.Struct, frozen=True):
    """A family that is built as Llama is: the defaults of its configuration, and what it adds."""

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    keys: int | None = None  # key and value heads; None: as many as heads
    head_width: int | None = None  # None: width / heads
    biases: bool = False  # attention_bias switches biases on
    qkv_biases: bool = False  # query, key and value always have one
    inner_biases: bool = False  # mlp_bias switches biases on
    qk_norms: bool = False
    four_norms: bool = False  # also before and after the feed-forward part
    fused: bool = False  # query, key and value in one matrix, gate and up too
    tied: bool = False


LLAMAS = {
    "llama": Llama(32000, 4096, 11008, 32, 32, biases=True, inner_biases=True),
    "granite": Llama(32000, 4096, 11008, 32, 32, biases=True, inner_biases=True),
    "smollm3": Llama(128256, 2048, 11008, 36, 16, keys=4, biases=True, inner_biases=True, tied=True),
    "mistral": Llama(32000, 4096, 14336, 32, 32, keys=8),
    "qwen2": Llama(151936, 4096, 22016, 32, 32, keys=32, qkv_biases=True),
    "qwen3": Llama(151936, 4096, 22016, 32, 32, keys=32, head_width=128, biases=True, qk_norms=True),
    "gemma": Llama(256000, 3072, 24576, 28, 16, keys=16, head_width=256, biases=True, tied=True),
    "gemma2": Llama(
        256000, 2304, 9216, 26, 8, keys=4, head_width=256, biases=True, four_norms=True, tied=True
    ),
    "gemma3_text": Llama(
        262208, 2304, 9216, 26, 8, keys=4, head_width=256, biases=True, qk_norms=True, four_norms=True,
        tied=True,
    ),
    "phi3": Llama(32064, 3072, 8192, 32, 32, fused=True),
}  # fmt: skip


def _head(
    s: Shapes, c: Config, kind: str, width: int, vocabulary: int, tied: bool, bias: bool = False
) -> None:
    """The output head, or what stands in its place."""
    if kind == "lm":
        s.output("lm_head", vocabulary, width, c.flag("tie_word_embeddings", tied))
        if bias:
            s.head("lm_head.bias", vocabulary)
    elif kind == "sequences":
        s.labelled("score", c.labels, width, bias=False)
    elif kind == "tokens":
        s.labelled("score", c.labels, width)
    elif kind == "questions":
        s.labelled("qa_outputs", 2, width)


def llama(s: Shapes, c: Config, kind: str, family: Llama) -> None:
    """…ForCausalLM, …ForSequenceClassification, …ForTokenClassification, …Model of these families."""
    width, inner = (
        c.whole("hidden_size", default=family.width),
        c.whole("intermediate_size", default=family.inner),
    )
    heads = c.whole("num_attention_heads", default=family.heads)
    keys = c.whole(
        "num_key_value_heads", default=heads if "num_key_value_heads" in c.plain else family.keys or heads
    )
    each = c.whole("head_dim", default=family.head_width or max(1, width // heads))
    biases = family.biases and c.flag("attention_bias", False)
    inside = family.inner_biases and c.flag("mlp_bias", False)
    vocabulary = c.vocabulary(family.vocabulary)
    s.embed("embed_tokens", vocabulary, width)
    for i in range(c.layers("num_hidden_layers", default=family.layers)):
        at = f"layers.{i}"
        sizes = {"q_proj": heads * each, "k_proj": keys * each, "v_proj": keys * each}
        if family.fused:
            sizes = {"qkv_proj": sum(sizes.values())}
        for name, rows in sizes.items():
            s.linear(f"{at}.self_attn.{name}", rows, width, biases or family.qkv_biases)
        s.linear(f"{at}.self_attn.o_proj", width, heads * each, biases)
        if family.qk_norms:
            s.norm(f"{at}.self_attn.q_norm", each, bias=False)
            s.norm(f"{at}.self_attn.k_norm", each, bias=False)
        for name, rows in (
            {"gate_up_proj": 2 * inner}.items()
            if family.fused
            else (("gate_proj", inner), ("up_proj", inner))
        ):
            s.linear(f"{at}.mlp.{name}", rows, width, inside)
        s.linear(f"{at}.mlp.down_proj", width, inner, inside)
        for name in ("input_layernorm", "post_attention_layernorm"):
            s.norm(f"{at}.{name}", width, bias=False)
        if family.four_norms:
            s.norm(f"{at}.pre_feedforward_layernorm", width, bias=False)
            s.norm(f"{at}.post_feedforward_layernorm", width, bias=False)
    s.norm("norm", width, bias=False)
    _head(s, c, kind, width, vocabulary, family.tied)


def gpt2(s: Shapes, c: Config, kind: str) -> None:
    """GPT2LMHeadModel, GPT2For…, GPT2Model. Its matrices have their columns first."""
    c.refuse("add_cross_attention", "pruned_heads")
    width, vocabulary = c.whole("n_embd", "hidden_size", default=768), c.vocabulary(50257)
    inner = c.whole("n_inner", default=4 * width)
    s.columns_first = True
    s.embed("wte", vocabulary, width)
    s.own("wpe.weight", c.whole("n_positions", "max_position_embeddings", default=1024), width)
    for i in range(c.layers("n_layer", "num_hidden_layers", default=12)):
        s.norm(f"h.{i}.ln_1", width)
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner), ("mlp.c_proj", inner, width),
        ):  # fmt: skip
            s.own(f"h.{i}.{name}.weight", rows, columns)
            s.own(f"h.{i}.{name}.bias", columns)
        s.norm(f"h.{i}.ln_2", width)
    s.norm("ln_f", width)
    if kind == "tokens":
        s.labelled("classifier", c.labels, width)
    else:
        _head(s, c, kind, width, vocabulary, tied=True)


def gpt_neox(s: Shapes, c: Config, kind: str) -> None:
    """GPTNeoXForCausalLM (Pythia), GPTNeoXFor…, GPTNeoXModel."""
    width, inner = c.whole("hidden_size", default=6144), c.whole("intermediate_size", default=24576)
    vocabulary, biases = c.vocabulary(50432), c.flag("attention_bias", True)
    s.embed("embed_in", vocabulary, width)
    for i in range(c.layers("num_hidden_layers", default=44)):
        at = f"layers.{i}"
        s.norm(f"{at}.input_layernorm", width)
        s.norm(f"{at}.post_attention_layernorm", width)
        s.linear(f"{at}.attention.query_key_value", 3 * width, width, biases)
        s.linear(f"{at}.attention.dense", width, width, biases)
        s.linear(f"{at}.mlp.dense_h_to_4h", inner, width)
        s.linear(f"{at}.mlp.dense_4h_to_h", width, inner)
    s.norm("final_layer_norm", width)
    if kind == "tokens":
        s.labelled("classifier", c.labels, width)
    else:
        _head(s, c, kind, width, vocabulary, tied=False)


def phi(s: Shapes, c: Config, kind: str) -> None:
    """PhiForCausalLM, PhiForSequenceClassification, PhiForTokenClassification, PhiModel."""
    c.refuse("qk_layernorm")
    width, inner = c.whole("hidden_size", default=2048), c.whole("intermediate_size", default=8192)
    heads = c.whole("num_attention_heads", default=32)
    keys, each = (
        c.whole("num_key_value_heads", default=heads),
        c.whole("head_dim", default=max(1, width // heads)),
    )
    vocabulary = c.vocabulary(51200)
    s.embed("embed_tokens", vocabulary, width)
    for i in range(c.layers("num_hidden_layers", default=24)):
        at = f"layers.{i}"
        for name, rows in (("q_proj", heads * each), ("k_proj", keys * each), ("v_proj", keys * each)):
            s.linear(f"{at}.self_attn.{name}", rows, width)
        s.linear(f"{at}.self_attn.dense", width, heads * each)
        s.linear(f"{at}.mlp.fc1", inner, width)
        s.linear(f"{at}.mlp.fc2", width, inner)
        s.norm(f"{at}.input_layernorm", width)
    s.norm("final_layernorm", width)
    _head(s, c, kind, width, vocabulary, tied=False, bias=True)


def t5(s: Shapes, c: Config, kind: str) -> None:
    """T5ForConditionalGeneration, T5Model. Names of its backbone have no prefix."""
    width, vocabulary = c.whole("d_model", "hidden_size", default=512), c.vocabulary(32128)
    if not c.flag("tie_word_embeddings", True):
        raise NotExact("this T5's embeddings are not tied")
    layers = c.layers("num_layers", "num_hidden_layers", default=6)
    s.head("shared.weight", vocabulary, width)
    s.embeddings.append("shared.weight")
    for name in ("lm_head", "encoder.embed_tokens", "decoder.embed_tokens"):
        s.output(name, vocabulary, width, tied=True)
    _t5_stack(s, c, "encoder", layers, width)
    _t5_stack(s, c, "decoder", c.layers("num_decoder_layers", default=layers), width)


def _t5_stack(s: Shapes, c: Config, side: str, layers: int, width: int) -> None:
    heads, inner = c.whole("num_heads", "num_attention_heads", default=8), c.whole("d_ff", default=2048)
    across = heads * c.whole("d_kv", "head_dim", default=64)
    buckets = c.whole("relative_attention_num_buckets", default=32)
    gated = str(c.plain.get("feed_forward_proj", "relu")).startswith("gated-")
    attentions = ("SelfAttention",) if side == "encoder" else ("SelfAttention", "EncDecAttention")
    for i in range(layers):
        for place, name in enumerate(attentions):
            at = f"{side}.block.{i}.layer.{place}"
            for part in "qkv":
                s.head(f"{at}.{name}.{part}.weight", across, width)
            s.head(f"{at}.{name}.o.weight", width, across)
            s.head(f"{at}.layer_norm.weight", width)
        if i == 0:
            s.head(f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", buckets, heads)
        at = f"{side}.block.{i}.layer.{len(attentions)}"
        for part in ("wi_0", "wi_1") if gated else ("wi",):
            s.head(f"{at}.DenseReluDense.{part}.weight", inner, width)
        s.head(f"{at}.DenseReluDense.wo.weight", width, inner)
        s.head(f"{at}.layer_norm.weight", width)
    s.head(f"{side}.final_layer_norm.weight", width)
