"""Fine-tuning as OpenAI's clients ask for it: files of conversations, and trainings on them."""
