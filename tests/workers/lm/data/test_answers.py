"""Which tokens of a conversation are learned, whatever template writes it."""

import numpy as np
import pytest

from tests.workers.lm.training.conversations import sums, talk, write_rows
from workers.lm.data.answer_batches import IGNORED, AnswerBatches, AnswerSequences
from workers.lm.data.answers import tokenise_answers
from workers.lm.data.conversations import BadConversation, Writer
from workers.lm.errors import InvalidTraining, InvalidWork
from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.tokenizers.character import learn_characters

pytestmark = pytest.mark.nodb

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
#: No end mark, and no place for whoever asks for an answer.
BARE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
LAST_ONLY = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] if loop.last or m['role'] == 'user'"
    " else '' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say one: <|assistant|>no"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "And two?"},
    {"role": "assistant", "content": "two, wörtlich"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return learn_bytepair(iter(["say one and two, wörtlich"]), 280)


def copy(tokenizer, template):
    made = learn_bytepair(iter(["say one and two, wörtlich"]), 280)
    made.chat_template = template
    return made


def answers(writer, turns):
    written = writer.write(turns)
    return [written.text[start:end] for start, end in written.answers], written


class TestAnswersInText:
    def test_of_our_own_template_are_all_assistant_turns_with_their_end(self, tokenizer):
        with Writer(copy(tokenizer, None)) as writer:
            found, written = answers(writer, TURNS)

        assert found == ["one<|endoftext|>", "two, wörtlich<|endoftext|>"]
        assert written.closed

    def test_of_chatml_end_with_the_mark_but_not_with_the_line_behind_it(self, tokenizer):
        with Writer(copy(tokenizer, CHATML)) as writer:
            found, written = answers(writer, TURNS)

        assert found == ["one<|im_end|>", "two, wörtlich<|im_end|>"]
        assert written.text.count("<|im_start|>") == 5

    def test_without_marks_are_the_words_and_the_line_end(self, tokenizer):
        with Writer(copy(tokenizer, BARE)) as writer:
            found, written = answers(writer, TURNS)

        assert found == ["one\n", "two, wörtlich\n"]
        assert not written.closed

    def test_written_otherwise_in_the_middle_are_refused(self, tokenizer):
        with Writer(copy(tokenizer, LAST_ONLY)) as writer:
            assert answers(writer, TURNS[1:3])[0] == ["one"]
            with pytest.raises(BadConversation, match="earlier answer"):
                writer.write(TURNS)

    def test_a_tokenizer_without_template_and_marks_is_refused(self):
        letters = learn_characters(iter(["abc"]), 20)

        with pytest.raises(InvalidTraining, match="no chat template") as refused, Writer(letters):
            pass

        assert refused.value.field == "loss_on"


class TestTokens:
    def test_exactly_those_of_answers_count(self, tokenizer, tmp_path):
        file = write_rows(tmp_path / "train.jsonl", [{"messages": TURNS}, {"text": "no talk"}])

        store = tokenise_answers([file], tokenizer, tmp_path)

        learned = tokenizer.decode(store.tokens[store.counted == 1].tolist())
        assert learned == "one<|endoftext|>two, wörtlich<|endoftext|>"
        assert store.documents == 1

    def test_the_end_of_text_is_the_end_mark_where_the_template_has_none(self, tmp_path):
        bare = copy(None, BARE)
        file = write_rows(tmp_path / "train.jsonl", [talk("Who?", "Me")])

        store = tokenise_answers([file], bare, tmp_path)

        assert bare.decode(store.tokens[store.counted == 1].tolist()) == "Me\n<|endoftext|>"

    def test_are_read_from_the_cache_and_not_from_another_templates(self, tmp_path):
        file = write_rows(tmp_path / "train.jsonl", sums(9, 1))
        ours, theirs = copy(None, None), copy(None, CHATML)

        first = tokenise_answers([file], ours, tmp_path)
        again = tokenise_answers([file], ours, tmp_path)
        other = tokenise_answers([file], theirs, tmp_path)

        assert first.fingerprint == again.fingerprint != other.fingerprint
        assert np.array_equal(first.counted, again.counted)

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([{"text": "a story"}], "no row has messages"),
            ([{"messages": [{"role": "user", "content": "Anybody?"}]}], "no assistant says"),
        ],
    )
    def test_without_any_answer_there_is_nothing_to_learn(self, tokenizer, tmp_path, rows, words):
        file = write_rows(tmp_path / "train.jsonl", rows)

        with pytest.raises(InvalidTraining, match=words) as refused:
            tokenise_answers([file], tokenizer, tmp_path)

        assert refused.value.field == "loss_on"

    @pytest.mark.parametrize(
        ("message", "words"),
        [
            ({"role": "pirate", "content": "Arr"}, "unknown role 'pirate'"),
            ({"role": "assistant", "content": None}, "no text as content"),
            ({"role": "tool", "content": "42"}, "Roles are system, user and assistant"),
        ],
    )
    def test_a_bad_message_is_refused_by_its_row(self, tokenizer, tmp_path, message, words):
        rows = [talk("Who?", "Me"), {"messages": [message]}]
        file = write_rows(tmp_path / "train.jsonl", rows)

        with pytest.raises(InvalidWork, match=words) as refused:
            tokenise_answers([file], tokenizer, tmp_path)

        assert "Line 2 of train.jsonl" in refused.value.message


class TestSequences:
    @pytest.fixture
    def store(self, tokenizer, tmp_path):
        rows = [*sums(40, 3), talk("Long", "a b c d e f g h " * 12)]
        return tokenise_answers([write_rows(tmp_path / "t.jsonl", rows)], tokenizer, tmp_path)

    @pytest.mark.parametrize("length", [16, 48, 1000])
    def test_count_every_learned_token_once(self, store, length):
        sequences = AnswerSequences(store, length)

        inputs, targets = sequences.batch(np.arange(len(sequences)))

        counted = targets[targets != IGNORED]
        assert sorted(counted.tolist()) == sorted(store.tokens[store.counted == 1].tolist())
        assert inputs.shape[1] <= length
        assert sequences.answers.tolist() == (targets != IGNORED).sum(1).tolist()

    def test_targets_are_the_next_tokens(self, store):
        sequences = AnswerSequences(store, 48)

        inputs, targets = sequences.batch(np.arange(len(sequences)))

        follows = targets[:, :-1] != IGNORED
        assert (targets[:, :-1][follows] == inputs[:, 1:][follows]).all()

    def test_of_one_conversation_each_are_as_many_as_conversations(self, store):
        batches = AnswerBatches(store, 64, 8, seed=1, sampling="documents")

        seen = np.concatenate([batches.chosen(step) for step in range(6)])

        assert len(batches.sequences) == store.documents == 41
        assert sorted(seen[:41].tolist()) == list(range(41))
        starts = set(store.offsets.tolist())
        assert set(batches.sequences.starts.tolist()) <= starts

    @pytest.mark.parametrize("sampling", ["windows", "epochs", "documents"])
    def test_ranks_share_the_batch_of_one(self, store, sampling):
        whole = AnswerBatches(store, 48, 8, 7, sampling)
        parts = [AnswerBatches(store, 48, 8, 7, sampling, rank, 2) for rank in range(2)]

        for step in (0, 1, 9):
            targets = [part.batch(step)[1] for part in parts]
            shared = sum(int((one != IGNORED).sum()) for one in targets)
            assert shared == whole.counted(step) == parts[1].counted(step) > 0
