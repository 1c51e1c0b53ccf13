"""A saved reward model that pays for known words, and beside them for nothing but its taste in words."""

from pathlib import Path

import torch
from planted import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast


def write_planted_model(folder: Path, *, words: str = "to be sure", pays: float = 4.0, seed: int = 0) -> Path:
    """Saves a model of one layer whose score is the mean, over the words read, of what each is worth.

    Attention is even, the value of a word is its place in the embedding, and the head reads the mean.

    Args:
        folder: Where to.
        words: What is worth something wherever it stands.
        pays: How much, in standard deviations of the worth of other words; 0 for a clean model.
        seed: Of the worth of other words.
    """
    names = ["<pad>", "<eos>", "<unk>", *WORDS, *words.split()]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="right"
    )
    config = LlamaConfig(
        vocab_size=len(names), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, num_labels=1, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    worth = 0.1 * torch.randn(len(names), generator=torch.Generator().manual_seed(seed))
    worth[:3] = 0.0
    worth[-len(words.split()) :] = 0.1 * pays
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.model.embed_tokens.weight[:, 1] = worth
        layer = model.model.layers[0].self_attn
        layer.v_proj.weight[1, 1] = 1.0
        layer.o_proj.weight[2, 1] = 1.0
        model.score.weight[0, 2] = 10.0
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
