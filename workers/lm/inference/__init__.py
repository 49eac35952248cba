"""Serving: an engine that batches by iteration over any transformers causal LM, and its HTTP server.

Knows neither Django nor the domain: a model directory comes in, OpenAI's protocol goes out.
"""
