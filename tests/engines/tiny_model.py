"""Runs in an engine's environment: makes a tiny model with random weights and the tokenizer of a GGUF file.

python tiny_model.py MODEL.gguf FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

model, folder = map(Path, sys.argv[1:])
tokenizer = AutoTokenizer.from_pretrained(str(model.parent), gguf_file=model.name)
tokenizer.add_tokens(["<think>", "</think>"])  # the marks that parsers of thinking ask for
torch.manual_seed(0)
ends = tokenizer.eos_token_id
config = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=64,  # vLLM's attention on a CPU knows no smaller one
    max_position_embeddings=2048,
    initializer_range=0.4,  # wide: candidates' probabilities differ, as those of a trained model do
    bos_token_id=tokenizer.bos_token_id,
    eos_token_id=ends,
    tie_word_embeddings=True,
)
LlamaForCausalLM(config).save_pretrained(folder)
GenerationConfig(eos_token_id=ends, bos_token_id=tokenizer.bos_token_id).save_pretrained(folder)
tokenizer.save_pretrained(folder)
