"""Which architectures there are and how large they may be; plain Python, no torch."""

# Decoders whose training was tried; each names its own settings in transformers' words.
MODEL_TYPES = (
    "gpt2", "llama", "gpt_neox", "mistral", "qwen2", "qwen3", "olmo2", "phi", "gemma",
    "starcoder2",
)  # fmt: skip

CEILINGS = {
    "vocab_size": 262_144, "hidden_size": 16_384, "n_embd": 16_384,
    "num_hidden_layers": 256, "n_layer": 256, "num_attention_heads": 256, "n_head": 256,
    "num_key_value_heads": 256, "head_dim": 1_024, "intermediate_size": 131_072,
    "n_inner": 131_072, "max_position_embeddings": 1_048_576, "n_positions": 1_048_576,
}  # fmt: skip
