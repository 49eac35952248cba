"""How text becomes numbers: byte-level pairs, single characters, or a base model's own tokenizer."""
