"""BibTeX of the methods a card can name. A card cites those that the adapter uses, and no others."""

from __future__ import annotations


def _arxiv(key: str, arxiv: str, year: int, author: str, title: str) -> str:
    """The entry of a paper by its number on arXiv."""
    return (
        f"@misc{{{key},\n  title  = {{{title}}},\n  author = {{{author}}},\n  year   = {{{year}}},\n"
        f"  url    = {{https://arxiv.org/abs/{arxiv}}}\n}}"
    )


BIBTEX: dict[str, str] = {
    "lora": r"""@inproceedings{hu2022lora,
  title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
               Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations},
  year      = {2022},
  url       = {https://openreview.net/forum?id=nZeVKeeFYf9}
}""",
    "qlora": r"""@inproceedings{dettmers2023qlora,
  title     = {{QLoRA}: Efficient Finetuning of Quantized {LLMs}},
  author    = {Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
  url       = {https://arxiv.org/abs/2305.14314}
}""",
    "hira": r"""@inproceedings{huang2025hira,
  title     = {{HiRA}: Parameter-Efficient {Hadamard} High-Rank Adaptation for Large Language Models},
  author    = {Huang, Qiushi and Ko, Tom and Zhuang, Zhan and Tang, Lilian and Zhang, Yu},
  booktitle = {The Thirteenth International Conference on Learning Representations},
  year      = {2025},
  url       = {https://openreview.net/forum?id=TwJrTz9cRS}
}""",
    "gradual-pruning": r"""@article{zhu2017prune,
  title   = {To prune, or not to prune: exploring the efficacy of pruning for model compression},
  author  = {Zhu, Michael and Gupta, Suyog},
  journal = {arXiv preprint arXiv:1710.01878},
  year    = {2017},
  url     = {https://arxiv.org/abs/1710.01878}
}""",
    "proximal": r"""@article{parikh2014proximal,
  title   = {Proximal Algorithms},
  author  = {Parikh, Neal and Boyd, Stephen},
  journal = {Foundations and Trends in Optimization},
  volume  = {1},
  number  = {3},
  pages   = {127--239},
  year    = {2014},
  doi     = {10.1561/2400000003}
}""",
    "group-lasso": r"""@article{yuan2006group,
  title   = {Model Selection and Estimation in Regression with Grouped Variables},
  author  = {Yuan, Ming and Lin, Yi},
  journal = {Journal of the Royal Statistical Society: Series B},
  volume  = {68},
  number  = {1},
  pages   = {49--67},
  year    = {2006},
  doi     = {10.1111/j.1467-9868.2005.00532.x}
}""",
    "dora": r"""@inproceedings{liu2024dora,
  title     = {{DoRA}: Weight-Decomposed Low-Rank Adaptation},
  author    = {Liu, Shih-Yang and Wang, Chien-Yi and Yin, Hongxu and Molchanov, Pavlo and
               Wang, Yu-Chiang Frank and Cheng, Kwang-Ting and Chen, Min-Hung},
  booktitle = {International Conference on Machine Learning},
  year      = {2024},
  url       = {https://arxiv.org/abs/2402.09353}
}""",
    "rslora": r"""@article{kalajdzievski2023rslora,
  title   = {A Rank Stabilization Scaling Factor for Fine-Tuning with {LoRA}},
  author  = {Kalajdzievski, Damjan},
  journal = {arXiv preprint arXiv:2312.03732},
  year    = {2023},
  url     = {https://arxiv.org/abs/2312.03732}
}""",
    "ia3": r"""@inproceedings{liu2022tfew,
  title     = {Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning},
  author    = {Liu, Haokun and Tam, Derek and Muqeeth, Mohammed and Mohta, Jay and Huang, Tenghao and
               Bansal, Mohit and Raffel, Colin},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {35},
  year      = {2022},
  url       = {https://arxiv.org/abs/2205.05638}
}""",
    "adalora": r"""@inproceedings{zhang2023adalora,
  title     = {Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning},
  author    = {Zhang, Qingru and Chen, Minshuo and Bukharin, Alexander and He, Pengcheng and Cheng, Yu and
               Chen, Weizhu and Zhao, Tuo},
  booktitle = {The Eleventh International Conference on Learning Representations},
  year      = {2023},
  url       = {https://arxiv.org/abs/2303.10512}
}""",
    "fedpara": r"""@inproceedings{hyeonwoo2022fedpara,
  title     = {{FedPara}: Low-Rank Hadamard Product for Communication-Efficient Federated Learning},
  author    = {Hyeon-Woo, Nam and Ye-Bin, Moon and Oh, Tae-Hyun},
  booktitle = {International Conference on Learning Representations},
  year      = {2022},
  url       = {https://arxiv.org/abs/2108.06098}
}""",
    "lycoris": r"""@inproceedings{yeh2024lycoris,
  title     = {Navigating Text-To-Image Customization: From {LyCORIS} Fine-Tuning to Model Evaluation},
  author    = {Yeh, Shih-Ying and Hsieh, Yu-Guan and Gao, Zhidong and Yang, Bernard B. W. and Oh, Giyeong and
               Gong, Yanmin},
  booktitle = {The Twelfth International Conference on Learning Representations},
  year      = {2024},
  url       = {https://arxiv.org/abs/2309.14859}
}""",
    "vera": r"""@inproceedings{kopiczko2024vera,
  title     = {{VeRA}: Vector-based Random Matrix Adaptation},
  author    = {Kopiczko, Dawid Jan and Blankevoort, Tijmen and Asano, Yuki M.},
  booktitle = {The Twelfth International Conference on Learning Representations},
  year      = {2024},
  url       = {https://arxiv.org/abs/2310.11454}
}""",
    "oft": r"""@inproceedings{qiu2023oft,
  title     = {Controlling Text-to-Image Diffusion by Orthogonal Finetuning},
  author    = {Qiu, Zeju and Liu, Weiyang and Feng, Haiwen and Xue, Yuxuan and Feng, Yao and Liu, Zhen and
               Zhang, Dan and Weller, Adrian and Sch{\"o}lkopf, Bernhard},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
  url       = {https://arxiv.org/abs/2306.07280}
}""",
    "prompt-tuning": r"""@inproceedings{lester2021prompt,
  title     = {The Power of Scale for Parameter-Efficient Prompt Tuning},
  author    = {Lester, Brian and Al-Rfou, Rami and Constant, Noah},
  booktitle = {Proceedings of the 2021 Conference on Empirical Methods in Natural Language Processing},
  pages     = {3045--3059},
  year      = {2021},
  doi       = {10.18653/v1/2021.emnlp-main.243}
}""",
    "prefix-tuning": r"""@inproceedings{li2021prefix,
  title     = {Prefix-Tuning: Optimizing Continuous Prompts for Generation},
  author    = {Li, Xiang Lisa and Liang, Percy},
  booktitle = {Proceedings of the 59th Annual Meeting of the Association for Computational Linguistics and the
               11th International Joint Conference on Natural Language Processing (Volume 1: Long Papers)},
  pages     = {4582--4597},
  year      = {2021},
  doi       = {10.18653/v1/2021.acl-long.353}
}""",
    "boft": _arxiv(
        "liu2023boft",
        "2311.06243",
        2023,
        "Liu, Weiyang and Qiu, Zeju and others",
        "Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization",
    ),
    "llama-adapter": _arxiv(
        "zhang2023llamaadapter",
        "2303.16199",
        2023,
        "Zhang, Renrui and Han, Jiaming and others",
        "{LLaMA-Adapter}: Efficient Fine-tuning of Language Models with Zero-init Attention",
    ),
    "p-tuning": _arxiv(
        "liu2021ptuning",
        "2103.10385",
        2021,
        "Liu, Xiao and Zheng, Yanan and Du, Zhengxiao and Ding, Ming and Qian, Yujie and "
        "Yang, Zhilin and Tang, Jie",
        "{GPT} Understands, Too",
    ),
    "multitask-prompt-tuning": _arxiv(
        "wang2023mpt",
        "2303.02861",
        2023,
        "Wang, Zhen and Panda, Rameswar and Karlinsky, Leonid and Feris, Rogerio and Sun, Huan and Kim, Yoon",
        "Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning",
    ),
    "cpt": _arxiv(
        "blau2024cpt",
        "2410.17222",
        2024,
        "Blau, Tsachi and others",
        "Context-aware Prompt Tuning: Advancing In-Context Learning with Adversarial Methods",
    ),
    "poly": _arxiv(
        "ponti2022poly",
        "2202.13914",
        2022,
        "Ponti, Edoardo M. and Sordoni, Alessandro and Bengio, Yoshua and Reddy, Siva",
        "Combining Modular Skills in Multitask Learning",
    ),
    "ln-tuning": _arxiv(
        "zhao2023lntuning",
        "2312.11420",
        2023,
        "Zhao, Bingchen and Tu, Haoqin and Wei, Chen and Mei, Jieru and Xie, Cihang",
        "Tuning {LayerNorm} in Attention: Towards Efficient Multi-Modal {LLM} Finetuning",
    ),
    "fourierft": _arxiv(
        "gao2024fourierft",
        "2405.03003",
        2024,
        "Gao, Ziqi and Wang, Qichao and Chen, Aochuan and others",
        "Parameter-Efficient Fine-Tuning with Discrete {Fourier} Transform",
    ),
    "xlora": _arxiv(
        "buehler2024xlora",
        "2402.07148",
        2024,
        "Buehler, Eric L. and Buehler, Markus J.",
        "{X-LoRA}: Mixture of Low-Rank Adapter Experts, a Flexible Framework for Large "
        "Language Models with Applications in Protein Mechanics and Molecular Design",
    ),
    "hra": _arxiv(
        "yuan2024hra",
        "2405.17484",
        2024,
        "Yuan, Shen and Liu, Haotian and Xu, Hongteng",
        "Bridging The Gap between Low-rank and Orthogonal Adaptation via {Householder} Reflection Adaptation",
    ),
    "vblora": _arxiv(
        "li2024vblora",
        "2405.15179",
        2024,
        "Li, Yang and Han, Shaobo and Ji, Shihao",
        "{VB-LoRA}: Extreme Parameter Efficient Fine-Tuning with Vector Banks",
    ),
    "miss": _arxiv(
        "kang2024miss",
        "2409.15371",
        2024,
        "Kang, Jiale and others",
        "Balancing {LoRA} Performance and Efficiency with Simple Shard Sharing",
    ),
    "randlora": _arxiv(
        "albert2025randlora",
        "2502.00987",
        2025,
        "Albert, Paul and others",
        "{RandLoRA}: Full-rank parameter-efficient fine-tuning of large models",
    ),
    "shira": _arxiv(
        "bhardwaj2024shira",
        "2406.13175",
        2024,
        "Bhardwaj, Kartikeya and others",
        "Sparse High Rank Adapters",
    ),
    "c3a": _arxiv(
        "chen2024c3a",
        "2407.19342",
        2024,
        "Chen, Aochuan and others",
        "Parameter-Efficient Fine-Tuning via Circular Convolution",
    ),
    "road": _arxiv(
        "liao2024road",
        "2409.00119",
        2024,
        "Liao, Baohao and Monz, Christof",
        "3-in-1: {2D} Rotary Adaptation for Efficient Finetuning, Efficient Batching and Composability",
    ),
    "waveft": _arxiv(
        "bilican2025waveft",
        "2505.12532",
        2025,
        "Bilican, Ahmet and others",
        "Exploring Sparsity for Parameter Efficient Fine Tuning Using Wavelets",
    ),
    "osf": _arxiv(
        "nayak2025osf",
        "2504.07097",
        2025,
        "Nayak, Nikhil Shivakumar and others",
        "Sculpting Subspaces: Constrained Full Fine-Tuning in {LLMs} for Continual Learning",
    ),
    "delora": _arxiv(
        "bini2025delora",
        "2503.18225",
        2025,
        "Bini, Massimo and Girrbach, Leander and Akata, Zeynep",
        "Decoupling Angles and Strength in Low-rank Adaptation",
    ),
    "gralora": _arxiv(
        "jung2025gralora",
        "2505.20355",
        2025,
        "Jung, Yeonjoon and others",
        "{GraLoRA}: Granular Low-Rank Adaptation for Parameter-Efficient Fine-Tuning",
    ),
    "cartridges": _arxiv(
        "eyuboglu2025cartridges",
        "2506.06266",
        2025,
        "Eyuboglu, Sabri and others",
        "Cartridges: Lightweight and general-purpose long context representations via self-study",
    ),
    "lily": _arxiv(
        "zhong2024lily",
        "2407.09946",
        2024,
        "Zhong, Yibo and Zhao, Jinman and Zhou, Yao",
        "Low-Rank Interconnected Adaptation across Layers",
    ),
    "unilora": _arxiv(
        "li2025unilora",
        "2506.00799",
        2025,
        "Li, Kaiyang and others",
        "{Uni-LoRA}: One Vector is All You Need",
    ),
    "tinylora": _arxiv(
        "morris2026tinylora",
        "2602.04118",
        2026,
        "Morris, John X. and others",
        "Learning to Reason in 13 Parameters",
    ),
    "glora": _arxiv(
        "chavan2023glora",
        "2306.07967",
        2023,
        "Chavan, Arnav and Liu, Zhuang and Gupta, Deepak and Xing, Eric and Shen, Zhiqiang",
        "One-for-All: Generalized {LoRA} for Parameter-Efficient Fine-tuning",
    ),
    "pissa": _arxiv(
        "meng2024pissa",
        "2404.02948",
        2024,
        "Meng, Fanxu and Wang, Zhaohui and Zhang, Muhan",
        "{PiSSA}: Principal Singular Values and Singular Vectors Adaptation of Large Language Models",
    ),
    "olora": _arxiv(
        "buyukakyuz2024olora",
        "2406.01775",
        2024,
        r"B{\"u}y{\"u}kaky{\"u}z, Kerim",
        "{OLoRA}: Orthonormal Low-Rank Adaptation of Large Language Models",
    ),
    "loftq": _arxiv(
        "li2023loftq",
        "2310.08659",
        2023,
        "Li, Yixiao and Yu, Yifan and Liang, Chen and He, Pengcheng and Karampatziakis, Nikos and"
        " Chen, Weizhu and Zhao, Tuo",
        "{LoftQ}: {LoRA}-Fine-Tuning-Aware Quantization for Large Language Models",
    ),
}
