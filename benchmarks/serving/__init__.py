"""Parts of `serve_engine.py`: the model, the systems that serve it, and the work they get."""
