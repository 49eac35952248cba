"""OpenAI's files and fine-tuning below `/v1`, for stock clients."""
