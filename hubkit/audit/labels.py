"""What a label on a card stands for: `LoRA rank (r)`, `lora_r`, `秩` are all the rank.

Labels are matched whole, never by a part: `Alpha (distillation blend)` is no alpha of LoRA's. Only labels of
other languages that name a setting without doubt are here.
"""

from __future__ import annotations

import re

_WORDS: dict[str, str] = {
    "rank": "rank|r|lora r|lora rank|adapter rank|peft rank|lora dim|lora dimension|hira rank|dora rank"
        "|hira r|lora rank r"
    "|rank r|r rank|秩|lora 秩|lora秩|lora 랭크|랭크"
    "|rango lora|rango|rank lora|qlora rank|low rank dimension",
    "alpha": "alpha|α|lora alpha|lora α|alpha lora|lora scaling alpha|alpha α|qlora alpha|lora alpha α"
    "|alfa lora|lora 알파|알파",
    "dropout": "dropout|lora dropout|hira dropout|dropout rate|lora dropout rate|dropout lora"
        "|qlora dropout|adapter dropout|lora 드롭아웃|드롭아웃",
    "bias": "bias|lora bias|bias type",
    "targets": "target modules|target module|lora target modules|lora targets|lora target|adapted modules"
        "|targeted modules"
    "|lora modules|lora layers|target layers|lora applied to|trained modules|modules targeted|adapter modules"
    "|目标模块|lora 目标模块|目标层"
    "|타겟 모듈|대상 모듈|módulos objetivo|módulos alvo|modules cibles|zielmodule",
    "quantization": "quantization|quantisation|quantization type|quantization method|quantization scheme"
        "|base weights"
    "|base quantization|base model quantization|training quantization|load precision|量化|양자화|cuantización"
    "|quantização",
    "double quantization": "double quantization|double quant|nested quantization|bnb 4bit use double quant"
        "|use double quant",
    "quant type": "quant type|bnb 4bit quant type|4 bit quant type|quantization data type",
    "compute dtype": "compute dtype|bnb 4bit compute dtype|compute type|4 bit compute dtype",
    "load in 4bit": "load in 4bit|load in 4 bit",
    "load in 8bit": "load in 8bit|load in 8 bit",
    "rslora": "use rslora|rslora|rs lora|rank stabilized lora|rank stabilised lora",
    "dora": "use dora|dora",
    "trainable": "trainable parameters|trained parameters|trained params|trainable params"
        "|trainable|number of trainable parameters"
        "|trainable parameter count"
    "|trainable params count|lora parameters|adapter parameters|num trainable params"
    "|可训练参数|可训练参数量|학습 가능한 파라미터|parámetros entrenables|parâmetros treináveis",
    "file parameters": "in the adapter file|parameters in the adapter file",
    "share": "trainable share|trainable %|trainable percentage|trainable ratio|percentage trainable"
        "|trainable percent"
    "|percent trainable|% trainable|trainable parameters %|trainable fraction",
    "total": "total parameters|total params|all params|all parameters|total parameter count|parameters total"
    "|total number of parameters|总参数|总参数量|전체 파라미터|parámetros totales",
    "adapter size": "adapter size|adapter file|adapter file size|adapter weights size|lora size"
        "|lora adapter size"
    "|lora file size|adapter model size|adapter weights|lora weights size|size of adapter"
    "|adapter checkpoint size",
    "model size": "model size|size",
    "method": "method|fine tuning method|finetuning method|peft method|adapter type|adapter method"
        "|technique|peft technique"
    "|fine tuning technique|fine tuning approach|peft type|training method|training technique"
    "|tuning method|method name"
    "|finetuning type|微调方法|微调方式|训练方法|파인튜닝 방법|학습 방법|método|método de ajuste",
    "sparsity": "sparsity|sparsity level|target sparsity|final sparsity|weight sparsity|adapter sparsity"
        "|sparsity ratio",
    "base": "base model|base|foundation model|backbone|pretrained model|pre trained model|base model name"
        "|base llm"
    "|finetuned from model|finetuned from|fine tuned from|base checkpoint"
    "|parent model|基座模型|基础模型|底座模型|底模"
    "|基座|베이스 모델|기반 모델|기본 모델|modelo base|modèle de base|basismodell|base model id",
    "task": "task|task type|peft task type|objective|nlp task|任务|작업|tarea",
    "perplexity": "perplexity|ppl|test perplexity|eval perplexity|evaluation perplexity"
        "|validation perplexity|val perplexity"
    "|final perplexity|perplexity of the answers|困惑度",
    "accuracy": "accuracy|acc|test accuracy|eval accuracy|evaluation accuracy|validation accuracy"
    "|val accuracy|final accuracy|overall accuracy|accuracy score|准确率|정확도",
    "macro f1": "macro f1|f1 macro|macro f1 score|f1 (macro)|f1 score (macro)|macro avg f1|macro averaged f1",
    "weighted f1": "weighted f1|f1 weighted|weighted f1 score|f1 (weighted)|f1 score (weighted)",
    "f1": "f1|f1 score|test f1|eval f1|validation f1|val f1|evaluation f1",
    "majority accuracy": "accuracy of always answering the most frequent class|majority accuracy",
    "bits per byte": "bits per byte|bpb|bits/byte|bits per utf 8 byte",
    "byte perplexity": "byte perplexity|perplexity per byte|byte level perplexity",
    "word perplexity": "word perplexity|perplexity per word|word level perplexity",
    "pseudo-perplexity": "pseudo perplexity|pppl|pseudoperplexity",
    "loss": "loss|test loss|eval loss|evaluation loss|validation loss|val loss",
    "throughput": "throughput|inference throughput|inference speed|generation speed|tokens per second"
        "|tokens/s|tokens/sec"
    "|samples per second|speed|latency|inference latency|inference time|tokens/second|decoding speed"
    "|average latency",
    "peft version": "peft|peft version|saved by peft",
    "epochs": "epochs|num epochs|number of epochs|num train epochs|training epochs|epoch|train epochs|轮数"
        "|训练轮数|에폭",
    "learning rate": "learning rate|lr|peak learning rate|学习率|학습률"
    "|tasa de aprendizaje|taxa de aprendizado",
    "batch size": "per device train batch size|per device batch size|train batch size|batch size per device"
    "|batch per device|micro batch size|per device train batch|micro batch",
    "any batch size": "batch size|batch|training batch size|批大小|배치 크기|tamaño de lote",
    "effective batch": "effective batch size|effective batch|total train batch size|global batch size"
        "|total batch size",
    "accumulation": "gradient accumulation steps|gradient accumulation|grad accumulation"
        "|grad accumulation steps"
    "|accumulation steps",
    "seed": "seed|random seed",
    "steps": "max steps|training steps|optimizer steps|total steps|number of steps|num steps"
        "|total training steps|global steps",
    "warm-up": "warmup steps|warm up steps|lr scheduler warmup steps|num warmup steps|lr warmup steps",
    "weight decay": "weight decay",
    "optimizer": "optimizer|optim|优化器|옵티마이저|optimizador",
    "scheduler": "scheduler|lr scheduler|lr scheduler type|learning rate scheduler|learning rate schedule"
        "|schedule|lr schedule",
    "gradient clipping": "max grad norm|gradient clipping|gradient clipping norm|max gradient norm|grad clip",
    "sequence length": "block size|max seq length|max sequence length|max length|sequence length"
        "|context length|cutoff len",
}  # fmt: skip
KEYS = {word: key for key, words in _WORDS.items() for word in words.split("|")}
# What may stand in brackets behind a label without changing what it means.
_ASIDES = frozenset({
    "r", "α", "alpha", "rank", "lora", "peft", "lora alpha", "lora r", "lora rank", "p", "d",
    "lora dropout", "%", "nf4",
    "norm", "qlora", "dim", "lr", "lora adapter", "adapter",
})  # fmt: skip
# Short words that many things are called: they are LoRA's only where their surroundings say so.
BARE = frozenset({"rank", "r", "alpha", "α", "dropout", "dropout rate", "bias", "rango", "랭크", "알파",
    "드롭아웃", "秩",
})  # fmt: skip


def normal(label: str) -> str:
    """A label in lower case, without marks, with blanks for underscores and hyphens."""
    text = re.sub(r"[*`:：\"']", "", label.lower()).replace("_", " ").replace("-", " ")
    text = re.sub(r"[^\w\s%/()&+,αº]", " ", text)
    bracket = re.fullmatch(r"\s*(.*?)\s*[((]\s*([^()]*?)\s*[))]\s*", text)
    if bracket and " ".join(bracket[2].split()) in _ASIDES:
        text = bracket[1]
    return " ".join(text.split())


def key_of(label: str) -> str | None:
    """What a label stands for, or None where that is not sure."""
    return KEYS.get(normal(label))


def keys_of(label: str) -> list[str]:
    """`LoRA rank / alpha / dropout`: several keys in one label; empty where one part is not known."""
    parts = [part.strip() for part in re.split(r"\s*[/,&+]\s*", normal(label)) if part.strip()]
    keys = [KEYS.get(part) for part in parts]
    return [key for key in keys if key] if len(parts) > 1 and all(keys) else []
