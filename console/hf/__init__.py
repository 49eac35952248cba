"""`/hf`: models and datasets in the words of the Hugging Face Hub, for its stock clients."""
