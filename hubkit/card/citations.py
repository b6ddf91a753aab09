"""BibTeX of the methods a card can name. A card cites those that the adapter uses, and no others."""

from __future__ import annotations

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
}
