"""What encoders are made of, by their configuration: BERT and its kin.

The shapes are those of transformers' classes, and a test holds each against its class. `kind`
says which class: "lm" (with a language-modelling head), "sequences", "tokens", "questions" or "features".
"""

from __future__ import annotations

from hubkit.counting.shapes import Config, Shapes


def _classifier(s: Shapes, c: Config, kind: str, width: int) -> None:
    """The one layer that most families put on top."""
    if kind in ("sequences", "tokens"):
        s.labelled("classifier", c.labels, width)
    elif kind == "questions":
        s.labelled("qa_outputs", c.labels, width)


def _deep_classifier(s: Shapes, c: Config, kind: str, width: int) -> None:
    """The same, with two layers for sequences."""
    if kind == "sequences":
        s.head_linear("classifier.dense", width, width)
        s.labelled("classifier.out_proj", c.labels, width)
    else:
        _classifier(s, c, kind, width)


def _embeddings(s: Shapes, c: Config, width: int, vocabulary: int, types: bool = True) -> None:
    s.embed("embeddings.word_embeddings", vocabulary, width)
    s.own("embeddings.position_embeddings.weight", c.whole("max_position_embeddings", default=512), width)
    if types:
        s.own("embeddings.token_type_embeddings.weight", c.whole("type_vocab_size", default=2), width)
    s.norm("embeddings.LayerNorm", width)


def _bert_layers(s: Shapes, c: Config, width: int, inner: int, layers: int) -> None:
    for i in range(c.layers("num_hidden_layers", default=layers)):
        at = f"encoder.layer.{i}"
        for name in ("query", "key", "value"):
            s.linear(f"{at}.attention.self.{name}", width, width)
        s.linear(f"{at}.attention.output.dense", width, width)
        s.norm(f"{at}.attention.output.LayerNorm", width)
        _feed_forward(s, at, width, inner)


def _feed_forward(s: Shapes, at: str, width: int, inner: int) -> None:
    s.linear(f"{at}.intermediate.dense", inner, width)
    s.linear(f"{at}.output.dense", width, inner)
    s.norm(f"{at}.output.LayerNorm", width)


def bert(s: Shapes, c: Config, kind: str) -> None:
    """BertForMaskedLM, BertLMHeadModel, BertFor…Classification, BertForQuestionAnswering, BertModel."""
    c.refuse("add_cross_attention", "pruned_heads", "position_embedding_type")
    width, inner = c.whole("hidden_size", default=768), c.whole("intermediate_size", default=3072)
    vocabulary = c.vocabulary(30522)
    _embeddings(s, c, width, vocabulary)
    _bert_layers(s, c, width, inner, 12)
    if kind in ("sequences", "features"):
        s.linear("pooler.dense", width, width)
    if kind == "lm":
        s.head("cls.predictions.bias", vocabulary)
        s.head_linear("cls.predictions.transform.dense", width, width)
        s.head_norm("cls.predictions.transform.LayerNorm", width)
        s.output(
            "cls.predictions.decoder",
            vocabulary,
            width,
            c.flag("tie_word_embeddings", True),
            bias="cls.predictions.bias",
        )
    _classifier(s, c, kind, width)


def _roberta_head(s: Shapes, c: Config, width: int, vocabulary: int) -> None:
    s.head("lm_head.bias", vocabulary)
    s.head_linear("lm_head.dense", width, width)
    s.head_norm("lm_head.layer_norm", width)
    s.output("lm_head.decoder", vocabulary, width, c.flag("tie_word_embeddings", True), bias="lm_head.bias")


def roberta(s: Shapes, c: Config, kind: str, vocabulary: int = 50265) -> None:
    """RobertaFor…, and the classes of XLM-RoBERTa and CamemBERT."""
    c.refuse("add_cross_attention", "pruned_heads", "position_embedding_type")
    width, inner = c.whole("hidden_size", default=768), c.whole("intermediate_size", default=3072)
    vocabulary = c.vocabulary(vocabulary)
    _embeddings(s, c, width, vocabulary)
    _bert_layers(s, c, width, inner, 12)
    if kind == "features":
        s.linear("pooler.dense", width, width)
    if kind == "lm":
        _roberta_head(s, c, width, vocabulary)
    _deep_classifier(s, c, kind, width)


def xlm_roberta(s: Shapes, c: Config, kind: str) -> None:
    """The same with another vocabulary where the configuration names none."""
    roberta(s, c, kind, vocabulary=30522)


def mpnet(s: Shapes, c: Config, kind: str) -> None:
    """MPNetFor…, MPNetModel."""
    width, inner = c.whole("hidden_size", default=768), c.whole("intermediate_size", default=3072)
    vocabulary, heads = c.vocabulary(30527), c.whole("num_attention_heads", default=12)
    _embeddings(s, c, width, vocabulary, types=False)
    for i in range(c.layers("num_hidden_layers", default=12)):
        at = f"encoder.layer.{i}"
        for name in "qkvo":
            s.linear(f"{at}.attention.attn.{name}", width, width)
        s.norm(f"{at}.attention.LayerNorm", width)
        _feed_forward(s, at, width, inner)
    buckets = c.whole("relative_attention_num_buckets", default=32)
    s.own("encoder.relative_attention_bias.weight", buckets, heads)
    if kind == "features":
        s.linear("pooler.dense", width, width)
    if kind == "lm":
        _roberta_head(s, c, width, vocabulary)
    _deep_classifier(s, c, kind, width)


def distilbert(s: Shapes, c: Config, kind: str) -> None:
    """DistilBertFor…, DistilBertModel."""
    width, inner = c.whole("dim", "hidden_size", default=768), c.whole("hidden_dim", default=3072)
    vocabulary = c.vocabulary(30522)
    _embeddings(s, c, width, vocabulary, types=False)
    for i in range(c.layers("n_layers", "num_hidden_layers", default=6)):
        at = f"transformer.layer.{i}"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            s.linear(f"{at}.attention.{name}", width, width)
        s.norm(f"{at}.sa_layer_norm", width)
        s.linear(f"{at}.ffn.lin1", inner, width)
        s.linear(f"{at}.ffn.lin2", width, inner)
        s.norm(f"{at}.output_layer_norm", width)
    if kind == "lm":
        s.head_linear("vocab_transform", width, width)
        s.head_norm("vocab_layer_norm", width)
        s.head("vocab_projector.bias", vocabulary)
        s.output("vocab_projector", vocabulary, width, c.flag("tie_word_embeddings", True))
    if kind == "sequences":
        s.head_linear("pre_classifier", width, width)
    _classifier(s, c, kind, width)


def electra(s: Shapes, c: Config, kind: str) -> None:
    """ElectraFor…, ElectraModel; the head is that of the generator."""
    c.refuse("add_cross_attention", "pruned_heads", "position_embedding_type")
    width, inner = c.whole("hidden_size", default=256), c.whole("intermediate_size", default=1024)
    narrow, vocabulary = c.whole("embedding_size", default=128), c.vocabulary(30522)
    _embeddings(s, c, narrow, vocabulary)
    if narrow != width:
        s.linear("embeddings_project", width, narrow)
    _bert_layers(s, c, width, inner, 12)
    if kind == "lm":
        s.head_norm("generator_predictions.LayerNorm", narrow)
        s.head_linear("generator_predictions.dense", narrow, width)
        s.head("generator_lm_head.bias", vocabulary)
        s.output("generator_lm_head", vocabulary, narrow, c.flag("tie_word_embeddings", True))
    _deep_classifier(s, c, kind, width)


def albert(s: Shapes, c: Config, kind: str) -> None:
    """AlbertFor…, AlbertModel: layers of a group share their weights."""
    width, inner = c.whole("hidden_size", default=4096), c.whole("intermediate_size", default=16384)
    narrow, vocabulary = c.whole("embedding_size", default=128), c.vocabulary(30000)
    _embeddings(s, c, narrow, vocabulary)
    s.linear("encoder.embedding_hidden_mapping_in", width, narrow)
    for group in range(c.layers("num_hidden_groups", default=1)):
        for layer in range(c.layers("inner_group_num", default=1)):
            at = f"encoder.albert_layer_groups.{group}.albert_layers.{layer}"
            s.norm(f"{at}.full_layer_layer_norm", width)
            for name in ("query", "key", "value", "dense"):
                s.linear(f"{at}.attention.{name}", width, width)
            s.norm(f"{at}.attention.LayerNorm", width)
            s.linear(f"{at}.ffn", inner, width)
            s.linear(f"{at}.ffn_output", width, inner)
    if kind in ("sequences", "features"):
        s.linear("pooler", width, width)
    if kind == "lm":
        s.head("predictions.bias", vocabulary)
        s.head_norm("predictions.LayerNorm", narrow)
        s.head_linear("predictions.dense", narrow, width)
        s.output(
            "predictions.decoder",
            vocabulary,
            narrow,
            c.flag("tie_word_embeddings", True),
            bias="predictions.bias",
        )
    _classifier(s, c, kind, width)
