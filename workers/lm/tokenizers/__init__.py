"""How text becomes numbers: byte pairs, single characters, or a base model's own tokenizer."""
