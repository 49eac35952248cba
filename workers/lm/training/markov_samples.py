"""What an n-gram model or a hidden Markov model writes when its training is over."""

from transformers import PreTrainedTokenizerFast

from workers.lm.families.markov import MarkovModel, sample
from workers.lm.tokenizers.saved import end_token

#: Units of the text.
LENGTH = 200
SEED = 1337


def markov_text(model: MarkovModel, tokenizer: PreTrainedTokenizerFast) -> str:
    """A sentence or document from its beginning, the same for the same model."""
    end = end_token(tokenizer)
    tokens = list(sample(model, LENGTH, seed=SEED, stop=end).tokens)
    if tokens and tokens[-1] == end:
        tokens.pop()
    return str(tokenizer.decode(tokens))
