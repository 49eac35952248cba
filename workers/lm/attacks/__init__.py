"""The attack suite: fixed prompts against a model, and rules that judge what it answers."""
