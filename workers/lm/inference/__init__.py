"""Serving: continuous batching over any transformers causal model, and its HTTP server.

Knows neither Django nor the domain: a model directory comes in, OpenAI's protocol goes out.
"""
